//! Which destinations records are for.

use std::sync::Arc;

use super::*;
use crate::ring::{Entrance, ReaderOptions, Ring, RingLimits};

const DESTINATIONS: &str = "destinations:
- {name: a, endpoint: 'udp://h:1'}
- {name: b, endpoint: 'udp://h:2'}
- {name: c, endpoint: 'udp://h:3'}
";

fn routes(text: &str) -> spec::Routes {
    match from_text("t.yaml", &format!("{DESTINATIONS}routes:\n{text}\n")) {
        Ok(config) => config.routes.unwrap(),
        Err(problems) => panic!("{problems}"),
    }
}

/// The names of the destinations that each line goes to.
fn routed(text: &str, batch: Batch) -> Vec<String> {
    let out = Trial::new(&[], Some(&routes(text))).run(batch);
    let names = |targets: &Targets, index: usize| {
        "abc".chars().zip(0..).filter(|(_, number)| targets.is_for(index, 1 << number)).map(|(name, _)| name).collect()
    };
    out.iter()
        .flat_map(|(batch, targets)| (0..batch.record_count()).map(|index| names(targets, index as usize)))
        .collect()
}

#[test]
fn the_first_route_counts_unless_it_says_to_go_on() {
    let text = "- {when: {field: msg, matches: x}, to: [a], continue: true}
- {when: {field: msg, matches: y}, to: [b]}
- {when: {field: msg, matches: z}, to: []}";
    assert_eq!(routed(text, lines(&["x", "y", "xy", "z", "other"])), ["a", "b", "ab", "", "c"]);
    assert_eq!(routed("- {when: {field: msg, equals: x}, to: [a]}\n- {to: [b, c]}", lines(&["x", "y"])), ["a", "bc"]);
}

#[test]
fn a_report_of_a_loss_goes_everywhere() {
    let mut builder = BatchBuilder::new(4096);
    builder.push_loss(&origin(), Lost::Records(1), "in a test", TIME, TIME);
    assert_eq!(routed("- {to: [a]}", builder.seal()), ["abc"]);
}

/// What is routed elsewhere is neither behind nor lost, and counts as read.
#[test]
fn a_reader_gets_what_is_routed_to_it_and_owes_nothing_else() {
    let ring = Ring::new(RingLimits { bytes: 1 << 20, records: 4 }, 1);
    let routes = routes("- {when: {field: msg, matches: x}, to: [a]}\n- {to: [b]}");
    let shaping = Shaping::start(&[], Some(&routes)).unwrap().unwrap();
    ring.set_entrance(Arc::clone(&shaping) as Arc<dyn Entrance>);
    let checkpoint = Arc::new(std::sync::Mutex::new(0));
    let noted = Arc::clone(&checkpoint);
    let mut a = ring.reader(ReaderOptions {
        target: Some(1),
        on_checkpoint: Some(Box::new(move |_, position| *noted.lock().unwrap() = position)),
        ..ReaderOptions::new("a")
    });
    let mut c = ring.reader(ReaderOptions { target: Some(4), ..ReaderOptions::new("c") });
    let all = ring.reader(ReaderOptions::new("all"));
    let file = OriginHandle::new(Origin { source: "file".into(), ..Origin::new(OriginKind::File, "f") });
    let mut door = ring.door().unwrap();
    let mut pass = |texts: &[&str], from: u64| {
        let mut builder = BatchBuilder::new(4096);
        for (text, position) in texts.iter().zip(from..) {
            builder.push(&file, RecordMeta { position, ..RecordMeta::line(TIME, text.as_bytes()) }, text.as_bytes());
        }
        door.pass(builder.seal());
    };
    pass(&["x1", "y1", "x2"], 1);
    assert_eq!((a.lag().records, c.lag().records, all.lag().records), (2, 0, 3));
    let taken = a.try_next().unwrap();
    let bodies: Vec<_> = taken.batch.records().map(|record| record.body).collect();
    assert_eq!(bodies, [b"x1", b"x2"]);
    pass(&["y2"], 4);
    assert!(a.try_next().is_none());
    assert_eq!(*checkpoint.lock().unwrap(), 0, "what it was given before is not done");
    a.acknowledge(&taken, 2);
    assert_eq!(*checkpoint.lock().unwrap(), 4);
    // All of it falls off the ring's end: of that `a` had something, `c` nothing.
    pass(&["x3"], 5);
    (0..4).for_each(|number| pass(&["y"], 6 + number));
    let report = a.try_next().unwrap();
    assert_eq!(report.batch.record(0).lost(), Some(Lost::Records(1)));
    assert!(c.try_next().is_none() && c.lag().records == 0);
}
