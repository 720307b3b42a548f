//! PROXY headers: what is taken, what is refused, and that pieces make no difference.

use std::net::IpAddr;

use http1::proxy_header::{Fault, Parse, parse};
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn binary(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[command, family], &length, payload].concat()
}

fn source_of(data: &[u8]) -> Result<Option<IpAddr>, Fault> {
    match parse(data)? {
        Parse::Incomplete => panic!("incomplete: {data:?}"),
        Parse::Complete { length, source } => {
            assert_eq!(length, data.len());
            Ok(source)
        }
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Source 192.0.2.1, destination 192.0.2.2.
const ADDRESSES_4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0x01, 0xbb];

#[test]
fn version_1_names_the_source() {
    for (line, source) in [
        (
            "PROXY TCP4 192.0.2.1 192.0.2.2 12345 443\r\n",
            Some(address("192.0.2.1")),
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            Some(address("255.255.255.255")),
        ),
        (
            "PROXY TCP6 2001:db8::1 2001:db8::2 0 443\r\n",
            Some(address("2001:db8::1")),
        ),
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n",
            Some(address("192.0.2.1")),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 anything 1 2 3\r\n", None),
    ] {
        assert_eq!(source_of(line.as_bytes()), Ok(source), "{line:?}");
    }
}

#[test]
fn version_1_is_taken_word_by_word_or_not_at_all() {
    for line in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 12345\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 12345 443 1\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 12345 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 12345 443 \r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 12345 443\r\n",
        "PROXY TCP4 2001:db8::1 192.0.2.2 12345 443\r\n",
        "PROXY TCP4 192.0.2.1 host 12345 443\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 12345 443\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 012345 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2  443\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 443\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 443\rx",
        "PROXY TCP4 192.0.2.1\t192.0.2.2 1 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 443\0\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 443\r\n",
        "GET / HTTP/1.1\r\n",
        " PROXY UNKNOWN\r\n",
    ] {
        assert!(parse(line.as_bytes()).is_err(), "{line:?}");
    }
}

#[test]
fn version_1_has_107_bytes_at_most() {
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), 107);
    assert_eq!(source_of(longest.as_bytes()), Ok(None));
    let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert!(parse(too_long.as_bytes()).is_err());
    assert!(parse(&too_long.as_bytes()[..107]).is_err());
    assert_eq!(parse(&too_long.as_bytes()[..106]), Ok(Parse::Incomplete));
}

#[test]
fn version_2_names_the_source() {
    let six: Vec<u8> = [
        [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [0; 16],
    ]
    .concat();
    let mapped: Vec<u8> = [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1],
        [0; 16],
    ]
    .concat();
    let ports = [0, 1, 0, 2];
    for (header, source) in [
        (binary(0x21, 0x11, ADDRESSES_4), Some(address("192.0.2.1"))),
        (
            binary(0x21, 0x21, &[&six[..], &ports].concat()),
            Some(address("2001:db8::1")),
        ),
        (
            binary(0x21, 0x21, &[&mapped[..], &ports].concat()),
            Some(address("192.0.2.1")),
        ),
        (binary(0x21, 0x31, &[b'/'; 216]), None),
        (binary(0x21, 0x00, b""), None),
        (binary(0x21, 0x00, b"whatever"), None),
        (binary(0x20, 0x00, b""), None),
        (binary(0x20, 0x11, ADDRESSES_4), None),
        (binary(0x20, 0xff, b"skipped"), None),
    ] {
        assert_eq!(source_of(&header), Ok(source), "{header:?}");
    }
}

#[test]
fn version_2_is_refused_for_what_it_must_not_say() {
    let mut too_long = binary(0x21, 0x11, ADDRESSES_4);
    too_long[14..16].copy_from_slice(&4097_u16.to_be_bytes());
    for header in [
        binary(0x11, 0x11, ADDRESSES_4),
        binary(0x22, 0x11, ADDRESSES_4),
        binary(0x21, 0x12, ADDRESSES_4),
        binary(0x21, 0x01, ADDRESSES_4),
        binary(0x21, 0x41, ADDRESSES_4),
        binary(0x21, 0x11, &ADDRESSES_4[..11]),
        binary(0x21, 0x21, ADDRESSES_4),
        too_long,
        [&SIGNATURE[..11], b"\r"].concat(),
    ] {
        assert!(parse(&header).is_err(), "{header:?}");
    }
}

#[test]
fn extensions_reach_to_the_end_and_their_checksum_is_right() {
    let with = |extensions: &[u8]| binary(0x21, 0x11, &[ADDRESSES_4, extensions].concat());
    assert_eq!(
        source_of(&with(&[1, 0, 2, b'h', b'2', 4, 0, 0])),
        Ok(Some(address("192.0.2.1")))
    );
    for cut in [&[1_u8][..], &[1, 0], &[1, 0, 1], &[1, 0, 0, 9]] {
        assert!(parse(&with(cut)).is_err(), "{cut:?}");
    }
    let mut header = with(&[3, 0, 4, 0, 0, 0, 0]);
    let end = header.len();
    let sum = crc32c(&header);
    header[end - 4..].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(source_of(&header), Ok(Some(address("192.0.2.1"))));
    for index in [16, 27, end - 1] {
        let mut spoilt = header.clone();
        spoilt[index] ^= 1;
        assert_eq!(parse(&spoilt), Err(Fault("wrong checksum")));
    }
    assert_eq!(
        parse(&with(&[3, 0, 3, 0, 0, 0])),
        Err(Fault("wrong checksum"))
    );
}

/// Bit by bit, highest first over reflected octets: not how the parser does it.
fn crc32c(data: &[u8]) -> u32 {
    let bits = data
        .iter()
        .flat_map(|octet| (0..8).map(move |bit| u32::from(octet >> bit) & 1));
    let register = bits.fold(u32::MAX, |register, bit| {
        let carry = (register >> 31) ^ bit;
        (register << 1) ^ (carry * 0x1edc_6f41)
    });
    !register.reverse_bits()
}

#[test]
fn the_checksum_is_the_one_everybody_means() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}

fn header() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "PROXY (TCP4|TCP6|UNKNOWN)( [0-9a-f.:]{1,12}){0,4}\r?\n".prop_map(String::into_bytes),
        "PROXY TCP4 [0-9]{1,3}.0.2.1 192.0.2.2 [0-9]{1,5} 443\r\n".prop_map(String::into_bytes),
        "PROXY [ -~]{0,120}\r\n".prop_map(String::into_bytes),
        (
            0x1f_u8..0x23,
            prop::sample::select(vec![0_u8, 0x11, 0x21, 0x31, 0x12]),
            prop::collection::vec(any::<u8>(), 0..60)
        )
            .prop_map(|(command, family, payload)| binary(command, family, &payload)),
        prop::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn pieces_make_no_difference(header in header(), behind in prop::collection::vec(any::<u8>(), 0..20)) {
        let whole = [&header[..], &behind].concat();
        let verdict = parse(&whole);
        for end in 0..=whole.len() {
            match parse(&whole[..end]) {
                // Enough had come to know: nothing that follows may change it.
                Ok(complete @ Parse::Complete { .. }) => prop_assert_eq!(verdict, Ok(complete)),
                Err(_) => prop_assert!(verdict.is_err()),
                Ok(Parse::Incomplete) => {}
            }
        }
        if let Ok(Parse::Complete { length, .. }) = verdict {
            prop_assert_eq!(parse(&whole[..length]), verdict);
            prop_assert_eq!(parse(&whole[..length - 1]), Ok(Parse::Incomplete));
        }
    }
}
