//! Chunked bodies: cuts do not matter, and what is coded anew is the same body.
#![no_main]

use fastmatch_fuzz::pieces;
use http1::Refusal;
use http1::chunked::{Decoder, recode};
use libfuzzer_sys::fuzz_target;

fn decode(cut: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), Refusal> {
    let (mut decoder, mut payload, mut used) = (Decoder::default(), Vec::new(), 0);
    for piece in cut {
        used += decoder.decode(piece, |part| payload.extend_from_slice(part))?;
    }
    Ok((payload, used, decoder.is_done()))
}

fuzz_target!(|input: &[u8]| {
    let (message, cut) = pieces(input);
    let whole = decode(&[message]);
    assert_eq!(decode(&cut), whole);
    let (mut decoder, mut again) = (Decoder::default(), Vec::new());
    let recoded: Result<Vec<_>, _> = cut
        .iter()
        .map(|piece| recode(&mut decoder, piece, &mut again))
        .collect();
    match whole {
        Err(refusal) => assert_eq!(recoded.err(), Some(refusal)),
        Ok((payload, _, is_over)) => {
            assert_eq!(decode(&[&again]), Ok((payload, again.len(), is_over)));
        }
    }
});
