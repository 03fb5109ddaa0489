use crossbeam::channel::unbounded;
use forwarder_common::CGROUP_NAME_LEN;

use super::super::stream::StreamLimits;
use super::*;
use crate::parse::line::LineKind;
use crate::record::{Flags, Origin, OriginKind};
use crate::ring::{Cursor, ReaderOptions as RingReader, Ring, RingLimits};

fn origin(name: &str) -> OriginHandle {
    OriginHandle::new(Origin::new(OriginKind::Container, name))
}

fn state() -> (State, Cursor) {
    let ring = Ring::new(RingLimits { bytes: 1 << 20, records: u64::MAX }, 1);
    let cursor = ring.reader(RingReader::new("test"));
    let counters = Arc::<CaptureCounters>::default();
    let limits = StreamLimits { max_line: 1000, hold: 1000, ahead: 1000 };
    let state = State {
        options: ReaderOptions {
            idle_flush: Duration::from_secs(1),
            limits,
            parse: LineKind::Text,
            join: None,
            resumes: false,
        },
        clock: WallClock::now(),
        lines: CapturedLines::new(ring, LineKind::Text, Arc::clone(&counters)),
        streams: HashMap::new(),
        ended: HashMap::new(),
        processes: HashMap::new(),
        to_watch: Vec::new(),
        early_names: None,
        next_process: 2,
        next_target: 1,
        console: None,
        questions: Questions { names: unbounded().0, backlogs: unbounded().0, fills: unbounded().0 },
        counters,
        missed: Default::default(),
        round: 1,
        emptied_ns: 0,
        left_bytes: 0,
    };
    (state, cursor)
}

fn write(state: &mut State, target: u32, time_ns: u64, offset: u64, text: &[u8]) {
    let length = text.len() as u32;
    let mut record = Vec::new();
    record.extend(time_ns.to_ne_bytes());
    record.extend(offset.to_ne_bytes());
    [target, 1, length].iter().for_each(|number| record.extend(number.to_ne_bytes()));
    record.extend([Kind::Data as u8, 0, 0, 0]);
    record.extend(text);
    state.on_record(&record);
}

fn exec(target: u32) -> ExecRecord {
    ExecRecord {
        process: 1,
        parent: 1,
        stdio: [PipeKey::default(); 2],
        targets: [target; 2],
        is_tty: [1; 2],
        cgroup_v2: [0; CGROUP_NAME_LEN],
        cgroup_v1: [0; CGROUP_NAME_LEN],
    }
}

/// The records so far, as `origin: body`; losses by their bytes.
fn records(state: &mut State, cursor: &mut Cursor) -> Vec<String> {
    state.lines.seal();
    let mut found = Vec::new();
    while let Some(next) = cursor.try_next() {
        for record in next.batch.records() {
            let name = Origin::decode(next.batch.origin_bytes(record.origin)).unwrap().name;
            let is_loss = record.flags.contains(Flags::LOSS);
            let body = if is_loss { "lost".into() } else { String::from_utf8_lossy(record.body) };
            found.push(format!("{name}: {body}"));
        }
    }
    found
}

#[test]
fn the_next_user_of_a_terminal_has_its_own_name() {
    let (mut state, mut cursor) = state();
    write(&mut state, 7, 100, 0, b"one\n");
    state.on_name(7, origin("a"), None);
    state.mark_ended(&[7]);
    state.on_exec(&exec(7), 500);
    // Another CPU's ring, read later, has what the first wrote last.
    write(&mut state, 7, 600, 12, b"mine\n");
    write(&mut state, 7, 200, 4, b"the end\n");
    state.on_answer(Answer::Held { target: 7, held: false });
    state.on_answer(Answer::Named { target: 7, log: None, origin: origin("b") });
    state.on_answer(Answer::Named { target: 7, log: None, origin: origin("b") });
    state.succeed(false);
    assert_eq!(records(&mut state, &mut cursor), ["a: one", "a: the end"]);
    state.round += 1;
    state.succeed(false);
    write(&mut state, 7, 700, 17, b"more\n");
    assert_eq!(records(&mut state, &mut cursor), ["b: mine", "b: more"]);
    assert!(state.streams[&7].ending == Ending::No && state.to_watch.contains(&(1, vec![7])));
}

#[test]
fn who_outlives_the_first_process_goes_on_under_its_name() {
    let (mut state, mut cursor) = state();
    write(&mut state, 7, 100, 0, b"one\n");
    state.on_name(7, origin("a"), None);
    // Something else is executed while the first process lives: nothing changes.
    state.on_exec(&exec(7), 150);
    assert!(state.streams[&7].successor.is_none());
    state.mark_ended(&[7]);
    state.on_exec(&exec(7), 500);
    write(&mut state, 7, 600, 4, b"two\n");
    state.on_answer(Answer::Rejected { target: 7 });
    state.round += 1;
    state.succeed(false);
    assert_eq!(records(&mut state, &mut cursor), ["a: one", "a: two"]);
}

#[test]
fn all_streams_share_the_bound_of_what_is_held() {
    let (mut state, mut cursor) = state();
    for index in 0..9 {
        write(&mut state, 7, 100, index * 100, &[b'x'; 100]);
    }
    write(&mut state, 8, 100, 0, &[b'y'; 200]);
    assert_eq!(state.streams.values().map(|captured| captured.stream.held_bytes()).sum::<usize>(), 1000);
    // The one that holds little loses nothing.
    state.on_name(8, origin("b"), None);
    let mut captured = state.streams.remove(&8).unwrap();
    state.hand_on_the_rest(&mut captured, 200);
    assert_eq!(records(&mut state, &mut cursor), [format!("b: {}", "y".repeat(200))]);
}

#[test]
fn what_is_rejected_holds_nothing() {
    let (mut state, _cursor) = state();
    write(&mut state, 7, 100, 0, b"one\n");
    state.on_answer(Answer::Rejected { target: 7 });
    write(&mut state, 7, 100, 4, b"two\n");
    assert!(state.streams[&7].stream.held_bytes() == 0 && !state.has_unnamed());
}

#[test]
fn a_hole_is_final_one_round_after_nothing_was_in_flight() {
    let mut hole = Hole::new(100, 1);
    assert!(!hole.is_final(100, 1, || false));
    assert!(!hole.is_final(100, 2, || true));
    assert!(!hole.is_final(100, 2, || true));
    assert!(hole.is_final(100, 3, || false));
}

#[test]
fn what_is_known_of_one_hole_does_not_condemn_the_next() {
    let mut hole = Hole::new(100, 1);
    assert!(!hole.is_final(100, 1, || true));
    assert!(!hole.is_final(250, 2, || false));
    assert!(!hole.is_final(250, 3, || false));
    hole.since -= 2 * HOLE_PATIENCE;
    assert!(!hole.is_final(300, 4, || false));
}
