//! Requests of viewers, and of memlogd's clients: each is answered, and whoever asks for what is there gets an end.
#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ringward::record::{BatchBuilder, FieldValue, Origin, OriginHandle, OriginKind, RecordMeta};
use ringward::ring::{Ring, RingLimits};
use ringward::view::query::QueryOptions;
use ringward::view::request::{CONTROL, Control, Request};
use ringward::view::{EntryFormat, Stages, query, viewer};
use ringward_fuzz::Folder;

fuzz_target!(|data: &[u8]| {
    static SOCKETS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    let (viewer, query) = SOCKETS.get_or_init(start);
    let follows = data.first().is_some_and(|mode| matches!(mode, 1 | 2));
    std::hint::black_box(ask(query, data, follows));

    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let request = serde_json::from_slice::<Request>(line);
    let answer = ask(viewer, data, request.as_ref().is_ok_and(|request| request.follow));
    let Some(answer) = answer else { return };
    for line in answer.split_inclusive(|byte| *byte == b'\n') {
        assert_eq!(line.last(), Some(&b'\n'));
        match line.strip_prefix(&[CONTROL]) {
            Some(control) => drop(serde_json::from_slice::<Control>(control).expect("what is said is understood")),
            None => ringward_fuzz::assert_json(line),
        }
    }
    // Without its newline, nothing was asked for.
    assert!(!answer.is_empty() || !data.contains(&b'\n'));
});

/// What is answered, up to the end; nothing of one that follows, who has to go away.
fn ask(socket: &PathBuf, data: &[u8], follows: bool) -> Option<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).unwrap();
    match stream.write_all(data) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => panic!("{error}"),
    }
    if follows {
        return None;
    }
    let _ = stream.shutdown(Shutdown::Write);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Some(answer),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
        Err(error) => panic!("no end comes: {error}"),
    }
}

fn start() -> (PathBuf, PathBuf) {
    let ring = Ring::new(RingLimits { bytes: 1 << 20, records: u64::MAX }, 1);
    let mut builder = BatchBuilder::new(4096);
    for (kind, name) in [(OriginKind::Kernel, ""), (OriginKind::Service, "etcd"), (OriginKind::Container, "web")] {
        let attributes = vec![("namespace".to_owned(), "default".to_owned()), ("pod".to_owned(), "web-0".to_owned())];
        let origin = OriginHandle::new(Origin { attributes, ..Origin::new(kind, name) });
        builder.push(&origin, RecordMeta::line(1, b"text"), b"text");
        builder.push_with_fields(&origin, RecordMeta::line(2, b"m"), b"m", &[("key", FieldValue::Text(b"value"))]);
    }
    ring.append(builder.seal());
    let folder = Folder::new();
    let paths = (folder.path().join("view"), folder.path().join("query"));
    let listen = |path| UnixListener::bind(path).unwrap().into();
    let options = QueryOptions { format: EntryFormat::Json, marks: true };
    // They go on for as long as the program does.
    std::mem::forget(viewer::start(listen(&paths.0), Arc::clone(&ring), Stages::default()).unwrap());
    std::mem::forget(query::start(listen(&paths.1), options, ring).unwrap());
    std::mem::forget(folder);
    paths
}
