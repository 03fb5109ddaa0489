//! What lines of files are taken for.

use crate::harness::PATIENCE;
use crate::harness::receiver::Record;
use crate::{Scene, messages};

const SHIM: &str = r#"time="2020-02-21T10:31:27.5Z" level=info msg="release sandbox" name=kata-runtime pid=14314 source=virtcontainers"#;
const AGENT: &str =
    r#"{"msg":"announce","level":"WARN","ts":"2023-06-07T10:17:23.5Z","pid":"1","name":"kata-agent","source":"agent"}"#;
const KERNEL: &str = "[    0.395399] random: crng init done";

#[test]
fn records_of_kata_are_found_again_where_they_are_glued() {
    let scene = Scene::new();
    let console = format!(
        r#"time="2020-02-21T10:31:28Z" level=debug msg="reading guest console" name=shim vmconsole={:?}"#,
        AGENT.replace("announce", "in the guest")
    );
    scene.append("kata.log", format!("{KERNEL}{AGENT}{SHIM}\n{}{AGENT}\n{console}\n\n", &AGENT[..40]));
    let ringward = scene.follow_with("- {include: [FOLDER/kata.log], parse: kata}");
    let records = scene.all(ringward, 7);
    let cut = &AGENT[..40];
    assert_eq!(messages(&records), [KERNEL, "announce", "release sandbox", cut, "announce", "in the guest", ""]);
    let unparsed: Vec<_> = records.iter().map(|record| record.fields.contains_key("unparsed")).collect();
    assert_eq!(unparsed, [true, false, false, true, false, false, false]);
    assert_eq!((records[1].text("talos-level"), records[1].text("talos-time")), ("warn", "2023-06-07T10:17:23.5Z"));
    assert_eq!((records[2].text("name"), &records[2].fields["pid"]), ("kata-runtime", &14314.into()));
    let guest = &records[5];
    assert_eq!((guest.text("talos-level"), guest.text("talos-time")), ("warn", "2020-02-21T10:31:28Z"));
    assert_eq!(
        (guest.text("name"), guest.text("shim_name"), guest.text("ts")),
        ("kata-agent", "shim", "2023-06-07T10:17:23.5Z")
    );
}

#[test]
fn of_a_line_with_several_records_none_is_lost_by_a_kill() {
    let scene = Scene::new();
    let glued: String = (0..200).map(|number| AGENT.replace("announce", &format!("{number}"))).collect();
    scene.append("kata.log", format!("{glued}\n"));
    let files = "- {include: [FOLDER/kata.log], parse: kata}";
    let ringward = scene.follow_with(files);
    scene.records(1);
    let state = ringward.kill();
    let ringward = scene.follow_with_in(state, files);
    scene.append("kata.log", "behind\n");
    scene.receiver.wait(PATIENCE, |records| records.iter().any(|record| record.msg == "behind"));
    assert!(ringward.stop().status.success());
    let records = scene.receiver.with(Clone::clone);
    for number in 0..200 {
        assert!(records.iter().any(|record| record.msg == number.to_string()), "{number} did not come");
    }
}

#[test]
fn each_selection_has_its_own_format() {
    let scene = Scene::new();
    scene
        .append("klog.log", "W0102 03:04:05.678901       7 a.go:1] \"Gone\" pod=\"a/b\" n=3\ngoroutine 1 [running]:\n");
    scene.append("own.log", "2026/01/02 03:04:05 [error] 7#9: *33 open() failed\nno such line\n");
    scene.append("any.log", "{\"level\":\"warn\",\"msg\":\"object\"}\nlevel=warn msg=pairs n=1\nx=1 is text\n");
    let ringward = scene.follow_with(
        r"- {include: [FOLDER/klog.log], parse: klog, name: klog}
- {include: [FOLDER/any.log], parse: detect, name: any}
- include: [FOLDER/own.log]
  name: own
  parse: regex
  pattern: '^(?<time>\S+ \S+) \[(?<level>\w+)\] (?<pid>\d+)#\d+: (?:\*(?<connection>\d+) )?(?<msg>.*)'
  time_format: '%Y/%m/%d %H:%M:%S'",
    );
    let records = scene.all(ringward, 7);
    let of = |name: &str| {
        let text = |record: &Record, key| record.fields.get(key).map(ToString::to_string).unwrap_or_default();
        let all = records.iter().filter(|record| record.service == name);
        all.map(|record| {
            let fields = ["n", "pod", "connection", "unparsed"].map(|key| text(record, key)).concat();
            format!("{} {} {fields}", record.text("talos-level"), record.msg)
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(of("klog"), [r#"warn Gone 3"a/b""#, "info goroutine 1 [running]: true"]);
    assert_eq!(of("own"), [r#"error open() failed "33""#, "info no such line true"]);
    assert_eq!(of("any"), ["warn object ", "warn pairs 1", "info x=1 is text "]);
}
