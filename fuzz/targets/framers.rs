//! Streams of lines, and of messages of syslog: however they are cut, the same comes out of them, and nothing is left out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::record::Flags;
use ringward::source::framer::{Framed, Framer};
use ringward::source::syslog_framer::SyslogFramer;

/// Shorter than many lines.
const MAX_LINE: usize = 40;

fuzz_target!(|data: &[u8]| {
    let Some((size, data)) = data.split_first() else { return };
    let size = usize::from(*size).max(1);

    let whole = lines(std::iter::once(data));
    assert_eq!(lines(data.chunks(size)), whole);
    let mut again = Vec::new();
    for (body, is_part) in &whole {
        again.extend_from_slice(body);
        again.extend_from_slice(if *is_part { b"" } else { b"\n" });
    }
    assert_eq!(again, data);

    let whole = messages(std::iter::once(data));
    assert_eq!(messages(data.chunks(size)), whole);
});

/// Each with whether it is only a part.
fn lines<'d>(pieces: impl Iterator<Item = &'d [u8]>) -> Vec<(Vec<u8>, bool)> {
    let (mut framer, mut said) = (Framer::new(MAX_LINE), Vec::new());
    let mut out = |framed: Framed<'_>| said.push(line(&framed));
    pieces.for_each(|piece| framer.push(piece, 0, Flags::NONE, &mut out));
    framer.flush(&mut out);
    assert!(!framer.is_waiting() && framer.waiting_bytes() == 0);
    said
}

/// Each message in one piece, as far as it may be said to be one.
fn messages<'d>(pieces: impl Iterator<Item = &'d [u8]>) -> Vec<Vec<u8>> {
    let (mut framer, mut said) = (SyslogFramer::new(MAX_LINE), Vec::<Vec<u8>>::new());
    let mut out = |framed: Framed<'_>, begins: bool| {
        let (body, _) = line(&framed);
        match said.last_mut().filter(|_| !begins) {
            Some(message) => message.extend(body),
            None => said.push(body),
        }
    };
    pieces.for_each(|piece| framer.push(piece, 0, &mut out));
    framer.flush(&mut out);
    assert!(!framer.is_waiting() && framer.waiting_bytes() == 0);
    said
}

fn line(framed: &Framed<'_>) -> (Vec<u8>, bool) {
    match framed {
        Framed::Line { flags, body, .. } => {
            assert!(body.len() <= MAX_LINE);
            (body.to_vec(), flags.contains(Flags::PARTIAL))
        }
        Framed::Lost { .. } => panic!("nothing is lost here"),
    }
}
