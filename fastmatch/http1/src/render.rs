//! Small writers; every output of the codec is appended to one reused buffer.

/// Decimal digits of a number, without an allocation.
pub fn decimal(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Lower-case hexadecimal, no leading zeros.
pub fn hexadecimal(out: &mut Vec<u8>, value: u64) {
    let digits = value.checked_ilog2().map_or(1, |bits| bits / 4 + 1);
    for place in (0..digits).rev() {
        out.push(hex_digit((value >> (4 * place)) & 15));
    }
}

pub fn hex_digit(nibble: u64) -> u8 {
    b"0123456789abcdef"[usize::try_from(nibble & 15).unwrap_or(0)]
}

pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

pub fn decimal_field(out: &mut Vec<u8>, name: &[u8], value: u64) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    decimal(out, value);
    out.extend_from_slice(b"\r\n");
}
