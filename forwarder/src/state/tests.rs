//! The state survives what happens to files, and never goes back.

use super::*;

fn open(path: &Path) -> StateDir {
    StateDir::open(path, "boot-1").unwrap()
}

#[test]
fn what_was_flushed_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(dir.path());
    assert_eq!(state.next_sequence(), 1);
    state.set_next_sequence(40);
    state.set_next_sequence(30);
    state.advance("tcp://a:1", "boot:boot-1:kmsg", 7);
    state.advance("tcp://a:1", "boot:boot-1:kmsg", 5);
    state.advance("odd / name\n", "file:/x", 9);
    state.flush().unwrap();
    drop(state);
    let state = open(dir.path());
    assert_eq!(state.next_sequence(), 40);
    assert_eq!(state.checkpoint("tcp://a:1"), Checkpoint::from([("boot:boot-1:kmsg".into(), 7)]));
    assert_eq!(state.checkpoint("odd / name\n"), Checkpoint::from([("file:/x".into(), 9)]));
    assert_eq!(state.checkpoint("unknown"), Checkpoint::new());
}

#[test]
fn where_streams_ended_holds_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = StreamLog { path: "/x.log".into(), format: StreamLogFormat::DockerJson, origin: vec![0, 255] };
    let end = StreamEnd { bytes: (0..=255).collect(), from_ns: -1, last_ns: 7, log: None };
    let ends = BTreeMap::from([
        ("0123/stdout".to_owned(), end.clone()),
        ("0123/stderr".to_owned(), StreamEnd { log: Some(log), ..end }),
    ]);
    let state = open(dir.path());
    state.set_stream_ends(ends.clone());
    state.flush().unwrap();
    drop(state);
    let state = open(dir.path());
    assert_eq!(state.take_stream_ends(), ends);
    state.flush().unwrap();
    drop(state);
    let state = open(dir.path());
    assert_eq!(state.take_stream_ends(), BTreeMap::new());
    state.set_ended_streams(ends.clone());
    state.flush().unwrap();
    drop(state);
    let state = open(dir.path());
    assert_eq!(state.take_stream_ends(), ends, "what was not delivered is read again");
}

#[test]
fn positions_of_another_boot_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(dir.path());
    state.advance("d", "boot:boot-1:kmsg", 7);
    state.advance("d", "file:/x", 9);
    state.flush().unwrap();
    drop(state);
    let state = StateDir::open(dir.path(), "boot-2").unwrap();
    assert_eq!(state.checkpoint("d"), Checkpoint::from([("file:/x".into(), 9)]));
}

/// What `a` has not got may be for `b` now.
#[test]
fn other_routes_begin_where_the_one_is_that_is_farthest_behind() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(dir.path());
    let all = ["a", "b", "new"];
    assert!(!state.set_routing("one", &["a", "b"]));
    for (name, source, position) in [("a", "x", 3), ("b", "x", 9), ("b", "y", 5), ("other", "x", 1)] {
        state.advance(name, source, position);
    }
    assert!(!state.set_routing("one", &["a", "b"]), "the same");
    state.flush().unwrap();
    drop(state);
    let state = open(dir.path());
    assert!(state.set_routing("two", &all));
    assert_eq!(state.checkpoint("a"), Checkpoint::from([("x".into(), 3)]));
    assert_eq!(state.checkpoint("b"), Checkpoint::from([("x".into(), 3), ("y".into(), 0)]));
    assert_eq!(state.checkpoint("new"), Checkpoint::new());
    assert_eq!(state.checkpoint("other"), Checkpoint::from([("x".into(), 1)]));
    assert!(state.set_routing("three", &all), "the new one has acknowledged nothing since");
    assert_eq!(state.checkpoint("b")["x"], 0);
    state.advance("b", "x", 9);
    assert!(!state.set_routing("", &all), "each gets everything");
    assert!(!state.set_routing("four", &all), "each got everything");
    assert_eq!(state.checkpoint("b")["x"], 9);
}

#[test]
fn other_routes_begin_where_the_one_is_that_is_farthest_behind_in_the_ring() {
    let dir = tempfile::tempdir().unwrap();
    let state = open(dir.path());
    state.set_routing("one", &["a", "b", "c"]);
    let place = |ring, sequence| RingPosition { ring, sequence, done: 0, records: sequence * 10 };
    for (name, place) in [("a", place(1, 3)), ("b", place(1, 9)), ("c", place(2, 5))] {
        state.set_ring_position(name, place);
    }
    assert!(state.set_routing("two", &["a", "b", "c"]));
    let places = ["a", "b", "c"].map(|name| state.ring_position(name));
    assert_eq!(places, [Some(place(1, 3)), Some(place(1, 3)), None], "another ring's says nothing");
    assert!(state.set_routing("three", &["a", "b", "c"]), "c begins at the oldest");
    assert_eq!(state.ring_position("a"), None);
}

#[test]
fn a_second_one_is_refused_with_the_pid_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let error = StateDir::open(dir.path(), "boot-1").err().unwrap().to_string();
    assert!(error.contains(&format!("in use by another Ringward (pid {})", std::process::id())), "{error}");
    drop(first);
    open(dir.path());
}

#[test]
fn damage_is_set_aside_and_a_half_written_file_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let good = {
        let state = open(dir.path());
        state.advance("d", "file:/x", 9);
        state.flush().unwrap();
        std::fs::read(dir.path().join(STATE_FILE)).unwrap()
    };
    for len in 0..good.len() {
        std::fs::write(dir.path().join(STATE_FILE), &good[..len]).unwrap();
        assert_eq!(open(dir.path()).checkpoint("d"), Checkpoint::new(), "{len}");
    }
    assert!(dir.path().join("state.json.corrupt-0").exists());
    // A crash between writing the new file and renaming it leaves the old one.
    std::fs::write(dir.path().join(STATE_FILE), &good).unwrap();
    std::fs::write(dir.path().join("state.json.tmp"), b"{").unwrap();
    let state = open(dir.path());
    assert_eq!(state.checkpoint("d"), Checkpoint::from([("file:/x".into(), 9)]));
    state.flush().unwrap();
}

#[test]
fn a_directory_that_can_not_be_made_says_which() {
    let error = StateDir::open(Path::new("/proc/ringward"), "b").err().unwrap().to_string();
    assert!(error.starts_with("/proc/ringward can't be used"), "{error}");
}
