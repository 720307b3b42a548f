//! PROXY headers: any cut gives one verdict, and what is taken is no longer than it may be.
#![no_main]

use http1::proxy_header::{Parse, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let verdict = parse(data);
    for end in 0..data.len() {
        match parse(&data[..end]) {
            Ok(complete @ Parse::Complete { .. }) => assert_eq!(verdict, Ok(complete)),
            Err(_) => assert!(verdict.is_err()),
            Ok(Parse::Incomplete) => {}
        }
    }
    match verdict {
        Ok(Parse::Complete { length, source }) => {
            assert!(length <= data.len() && length <= 16 + 4096);
            assert!(source.is_none_or(|address| address.to_canonical() == address));
        }
        Ok(Parse::Incomplete) => assert!(data.len() < 16 + 4096),
        Err(_) => {}
    }
});
