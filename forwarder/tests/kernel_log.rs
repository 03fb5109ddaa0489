//! The real kernel log: records written at every level and facility, a storm that overruns it.

mod harness;

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ringward::record::{FieldValue, Flags, Origin};
use ringward::ring::{Cursor, ReaderOptions, Ring, RingLimits};
use ringward::source::kmsg::{FacilityNames, KmsgOptions, start};

struct Seen {
    body: String,
    flags: Flags,
    fields: Vec<(String, String)>,
}

fn collect(cursor: &mut Cursor, seen: &mut Vec<Seen>) {
    while let Some(found) = cursor.try_next() {
        for record in found.batch.records() {
            let origin = Origin::decode(found.batch.origin_bytes(record.origin)).unwrap();
            assert!(origin.source.starts_with("boot:"));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let fields = record.fields().map(|(key, value)| match value {
                FieldValue::Text(value) | FieldValue::Json(value) => (text(key), text(value)),
                FieldValue::Integer(_) => unreachable!("integers are read back as JSON"),
            });
            seen.push(Seen { body: text(record.body), flags: record.flags, fields: fields.collect() });
        }
    }
}

fn open() -> (ringward::source::kmsg::KmsgHandle, Cursor) {
    std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n").expect("tests run as root");
    let ring = Ring::new(RingLimits { bytes: 1 << 30, records: u64::MAX }, 1);
    let cursor = ring.reader(ReaderOptions::new("test"));
    let options = KmsgOptions {
        path: PathBuf::from("/dev/kmsg"),
        source: ringward::source::kmsg::source_key("b"),
        after: 0,
        facility_names: FacilityNames::Linux,
        console: None,
    };
    (start(options, ring).expect("/dev/kmsg can be opened"), cursor)
}

#[test]
fn every_level_and_facility_comes_out_with_its_fields() {
    let (handle, mut cursor) = open();
    let mark = format!("ringward-test-{}", std::process::id());
    let mut kmsg = std::fs::OpenOptions::new().write(true).open("/dev/kmsg").unwrap();
    for priority in 8..192 {
        kmsg.write_all(format!("<{priority}>{mark} {priority}\n").as_bytes()).unwrap();
    }
    let mut seen = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline && !seen.iter().any(|one: &Seen| one.body == format!("{mark} 191\n")) {
        collect(&mut cursor, &mut seen);
        std::thread::yield_now();
    }
    handle.stop();
    let ours: Vec<&Seen> = seen.iter().filter(|one| one.body.starts_with(&mark)).collect();
    assert_eq!(ours.len(), 184);
    let levels = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
    for (one, priority) in ours.iter().zip(8..) {
        assert_eq!(one.body, format!("{mark} {priority}\n"));
        let field = |name: &str| one.fields.iter().find(|(key, _)| key == name).unwrap().1.clone();
        assert_eq!(field("priority"), levels[priority % 8]);
        assert_eq!(field("facility"), FacilityNames::Linux.name(priority as u32 / 8));
        assert!(field("clock").parse::<u64>().is_ok());
    }
    let sequence = |one: &Seen| one.fields.iter().find(|(key, _)| key == "seq").unwrap().1.parse::<u64>().unwrap();
    assert!(seen.iter().map(sequence).is_sorted_by(|a, b| a + 1 == *b), "no record twice, none missing");
    assert!(seen.iter().all(|one| one.flags.is_empty()));
}

/// Talos' documents as the configuration: the kernel's records go to one receiver, all others to the other.
#[test]
fn documents_of_talos_share_records_out() {
    // A storm of another test's would overrun the kernel's log.
    let Some(_machine) = harness::Machine::share() else { return };
    std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n").expect("tests run as root");
    let [services, kernel] = [(); 2].map(|()| harness::receiver::Receiver::tcp().unwrap());
    let folder = harness::folder();
    let config = folder.path().join("talos.yaml");
    let text = format!(
        "machine:\n  logging:\n    destinations:\n      - endpoint: {}/\n        format: json_lines\n        \
         extraTags: {{rack: 07}}\n---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: remote-log\nurl: {}/\n---\n\
         listen: [{{endpoint: 'tcp://127.0.0.1:0', parse: talos, name: machined}}]\n\
         kernel: {{console_tracepoint: false, facility_names: talos}}\ncapture: {{containers: false}}\ntalos: {{cmdline: false}}\n",
        services.url(),
        kernel.url()
    );
    std::fs::write(&config, text).unwrap();
    let arguments = ["--config", config.to_str().unwrap()];
    let ringward = harness::ringward::Ringward::start(&arguments);
    let ready = ringward.said("what is sent to tcp://");
    let address = ready.split("what is sent to tcp://").nth(1).unwrap().split([' ', ',']).next().unwrap();
    let mut peer = std::net::TcpStream::connect(address).unwrap();
    let mark = format!("ringward-talos-{}", std::process::id());
    let mut kmsg = std::fs::OpenOptions::new().write(true).open("/dev/kmsg").unwrap();
    for number in 0..100 {
        peer.write_all(format!("{mark} {number} {{\"level\":\"warn\"}}\n").as_bytes()).unwrap();
        kmsg.write_all(format!("<{}>{mark} {number}\n", (16 << 3) + 3).as_bytes()).unwrap();
    }
    let of_mark = |seen: &[harness::receiver::Record]| -> Vec<harness::receiver::Record> {
        seen.iter().filter(|one| one.msg.starts_with(&mark)).cloned().collect()
    };
    for receiver in [&services, &kernel] {
        assert!(receiver.wait(harness::PATIENCE, |seen| of_mark(seen).len() >= 100), "{:?}", ringward.log());
    }
    let (stopped, state) = ringward.stop_keeping_state();
    assert!(stopped.status.success(), "{stopped:?}");
    // After a restart the kernel's log is not sent again.
    let ringward = harness::ringward::Ringward::start_in(state, &arguments);
    kmsg.write_all(format!("<131>{mark} last\n").as_bytes()).unwrap();
    let last = format!("{mark} last\n");
    assert!(kernel.wait(harness::PATIENCE, |seen| seen.iter().any(|one| one.msg == last)), "{:?}", ringward.log());
    ringward.stop();
    services.with(|seen| {
        assert_eq!(of_mark(seen).len(), 100);
        assert!(seen.iter().all(|one| one.text("rack") == "07" && !one.fields.contains_key("seq")));
        assert!(of_mark(seen).iter().all(|one| one.service == "machined" && one.text("talos-level") == "warn"));
    });
    kernel.with(|seen| {
        let ours = of_mark(seen);
        assert_eq!(ours.len(), 101, "none twice");
        assert!(ours.iter().all(|one| one.text("facility") == "local5" && one.text("talos-level") == "error"));
        let is_as_talos_writes_it = |one: &harness::receiver::Record| {
            let keys: Vec<&str> = one.fields.keys().map(String::as_str).collect();
            keys == ["clock", "facility", "msg", "priority", "seq", "talos-level", "talos-time"]
        };
        assert!(ours.iter().all(is_as_talos_writes_it), "{ours:?}");
        assert!(seen.iter().all(|one| !one.fields.contains_key("talos-service")));
    });
    assert!(services.broken().is_empty() && kernel.broken().is_empty());
}

/// While the forwarder is stopped the kernel's log is overrun; the eBPF rings keep the texts, and they fill the gap.
#[cfg(feature = "ebpf")]
#[test]
fn a_storm_that_overruns_the_log_is_recovered_or_reported() {
    let Some(_machine) = harness::Machine::claim() else { return };
    std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n").expect("tests run as root");
    let folder = harness::folder();
    let config = folder.path().join("ringward.yaml");
    std::fs::write(&config, "ring: { bytes: 256MiB }\ncapture: { ring_bytes: 128MiB }\n").unwrap();
    let receiver = harness::receiver::Receiver::tcp().unwrap();
    let ringward = harness::ringward::Ringward::start(&["--to", &receiver.url(), "--config", config.to_str().unwrap()]);
    let mark = format!("ringward-storm-{}", std::process::id());
    let mut kmsg = std::fs::OpenOptions::new().write(true).open("/dev/kmsg").unwrap();
    let mut write =
        |number: u32| kmsg.write_all(format!("<14>{mark} {number:06} {}\n", "x".repeat(150)).as_bytes()).unwrap();
    write(0);
    assert!(receiver.wait(harness::PATIENCE, |seen| seen.iter().any(|one| one.msg.starts_with(&mark))));
    ringward.pause();
    const STORM: u32 = 30_000;
    (1..STORM).for_each(&mut write);
    ringward.signal(rustix::process::Signal::CONT);
    write(STORM);
    let last = format!("{mark} {STORM:06}");
    let came = receiver.wait(harness::PATIENCE, |seen| seen.iter().any(|one| one.msg.starts_with(&last)));
    let seen = receiver.with(|seen| seen.iter().rev().take(5).map(|one| format!("{one:?}")).collect::<Vec<_>>());
    assert!(came, "of {} the last are\n{}\n{}", receiver.with(Vec::len), seen.join("\n"), ringward.log().join("\n"));
    let stopped = ringward.stop();
    let (numbers, recovered, lost) = receiver.with(|seen| {
        let ours = seen.iter().filter(|one| one.msg.starts_with(&mark));
        let numbers: Vec<u32> = ours.clone().map(|one| one.msg[mark.len() + 1..][..6].parse().unwrap()).collect();
        let recovered = ours.filter(|one| one.fields.contains_key("recovered")).count();
        let lost: u64 = seen.iter().filter_map(|one| one.fields.get("lost-records")?.as_u64()).sum();
        (numbers, recovered, lost)
    });
    println!("{} records, {recovered} of them recovered, {lost} reported lost; {:?}", numbers.len(), stopped.log);
    assert!(numbers.is_sorted_by(|a, b| a < b), "in order and none twice");
    assert!(recovered > 0, "the storm was larger than the kernel's log");
    assert_eq!(numbers.len() as u64 + lost, u64::from(STORM) + 1);
}
