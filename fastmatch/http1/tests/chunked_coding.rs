//! The chunked coding: what is refused, and that cuts never matter.

use http1::Refusal;
use http1::chunked::{Decoder, LAST_CHUNK, encode, recode};
use proptest::prelude::*;

/// (payload, bytes used, is it over) of the input given in these pieces.
fn decode<'i>(
    pieces: impl IntoIterator<Item = &'i [u8]>,
) -> Result<(Vec<u8>, usize, bool), Refusal> {
    let mut decoder = Decoder::default();
    let (mut payload, mut used) = (Vec::new(), 0);
    for piece in pieces {
        used += decoder.decode(piece, |part| payload.extend_from_slice(part))?;
        if decoder.is_done() {
            break;
        }
    }
    Ok((payload, used, decoder.is_done()))
}

#[track_caller]
fn refuses(cases: &[&[u8]]) {
    for input in cases {
        assert!(decode([*input]).is_err(), "{}", input.escape_ascii());
        assert!(decode(input.chunks(1)).is_err(), "{}", input.escape_ascii());
    }
}

#[test]
fn r17_sizes_are_hexadecimal_digits_alone() {
    refuses(&[
        b"+5\r\n",
        b"-5\r\n",
        b"0x5\r\n",
        b"5_0\r\n",
        b" 5\r\n",
        b"5 \r\n",
        b"\r\n",
        b";a\r\n",
        b"g\r\n",
        b"1234567890abcdef\r\n",
        b"5\n",
        b"5\r5",
        b"\t5\r\n",
    ]);
    assert_eq!(
        decode([&b"A\r\n0123456789\r\n0\r\n\r\n"[..]]),
        Ok((b"0123456789".to_vec(), 20, true))
    );
    assert_eq!(
        decode([&b"0005\r\nhello\r\n000\r\n\r\nGET"[..]]),
        Ok((b"hello".to_vec(), 20, true))
    );
}

#[test]
fn r17_a_line_end_follows_the_data_exactly() {
    refuses(&[
        b"2\r\nabc\r\n0\r\n\r\n",
        b"2\r\nab\n0\r\n\r\n",
        b"2\r\nab\r0\r\n\r\n",
        b"2\r\nab0\r\n\r\n",
    ]);
}

#[test]
fn extensions_are_bounded_and_hold_no_line_end() {
    refuses(&[
        b"2;a\nb\r\nab\r\n",
        b"2;a\rb\r\n",
        b"2;\0\r\n",
        b"2;\x7f\r\n",
    ]);
    let long = [b"2;", "a".repeat(1025).as_bytes(), b"\r\n"].concat();
    refuses(&[&long]);
    let signed = b"2;sig=\"x y\"\r\nab\r\n0;last\r\n\r\n";
    assert_eq!(
        decode([&signed[..]]),
        Ok((b"ab".to_vec(), signed.len(), true))
    );
}

#[test]
fn trailers_are_checked_and_dropped() {
    let good = b"0\r\nA: b\r\nC:\r\n\r\n";
    assert_eq!(decode([&good[..]]), Ok((Vec::new(), good.len(), true)));
    refuses(&[
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n A: b\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\n\n",
        b"0\r\nA: \0\r\n\r\n",
    ]);
    let long = [b"0\r\n", "A: b\r\n".repeat(1400).as_bytes()].concat();
    refuses(&[&long]);
}

#[test]
fn an_unfinished_body_is_not_over() {
    let whole = b"3\r\nabc\r\n0\r\n\r\n";
    for end in 0..whole.len() {
        let (_, used, is_over) = decode([&whole[..end]]).expect("valid so far");
        assert_eq!((used, is_over), (end, false));
    }
}

#[test]
fn nothing_is_written_after_the_end() {
    let (mut decoder, mut out) = (Decoder::default(), Vec::new());
    assert_eq!(recode(&mut decoder, b"0\r\n\r\nGET", &mut out), Ok((5, 0)));
    assert_eq!(recode(&mut decoder, b"1\r\na\r\n", &mut out), Ok((0, 0)));
    assert_eq!(out, LAST_CHUNK);
}

/// Payload in chunks of these sizes, with an extension here and there.
fn written(chunks: &[Vec<u8>], trailer: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, chunk) in chunks
        .iter()
        .enumerate()
        .filter(|(_, chunk)| !chunk.is_empty())
    {
        if index % 3 == 1 {
            bytes.extend_from_slice(format!("{:X};e=1\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        } else {
            encode(&mut bytes, chunk);
        }
    }
    if trailer {
        bytes.extend_from_slice(b"0\r\nX: y\r\n\r\n");
    } else {
        bytes.extend_from_slice(LAST_CHUNK);
    }
    bytes
}

fn cut<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

proptest! {
    // A shrunk failure becomes a test with a name, not a file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_back_the_payload(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
        trailer: bool,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = written(&chunks, trailer);
        let payload = chunks.concat();
        prop_assert_eq!(decode(cut(&bytes, &cuts)), Ok((payload.clone(), bytes.len(), true)));
        // Coded anew in the same pieces, it is the same body.
        let (mut decoder, mut again) = (Decoder::default(), Vec::new());
        for piece in cut(&bytes, &cuts) {
            recode(&mut decoder, piece, &mut again).expect("valid");
        }
        prop_assert_eq!(decode([&again[..]]), Ok((payload, again.len(), true)));
    }

    #[test]
    fn any_cut_of_any_bytes_gives_the_same_answer(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[0-9a-f;=x\r\n: ]{0,60}".prop_map(String::into_bytes),
            "(([0-3]\r\n[ab]{0,3}\r\n){0,4}(0\r\n(A: b\r\n){0,2}\r\n)?){1,2}".prop_map(String::into_bytes),
        ],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let whole = decode([&bytes[..]]);
        prop_assert_eq!(decode(cut(&bytes, &cuts)), whole.clone());
        prop_assert_eq!(decode(bytes.chunks(1)), whole);
    }
}
