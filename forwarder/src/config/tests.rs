use super::*;
use std::path::Path;
use std::time::Duration;

fn problems(text: &str) -> Vec<String> {
    match from_text("t.yaml", text) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

fn with_flags(text: &str, overrides: Overrides) -> Result<ResolvedConfig, Problems> {
    let sources = [Source::new("t.yaml", text)];
    load_sources(&sources, &overrides, &Environment::default(), Problems::default()).map(|loaded| loaded.config)
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn the_example_says_exactly_the_defaults() {
    let example = include_str!("../../../config/ringward.yaml");
    let shown = from_text("config/ringward.yaml", example).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(shown, from_text("empty", "").unwrap());
}

/// What is commented out in the example is right, too.
#[test]
fn the_example_holds_with_everything_taken_in() {
    let example = include_str!("../../../config/ringward.yaml");
    // Settings that are commented out start with `#` directly before the key; prose has a space behind it.
    let taken_in: String = example
        .lines()
        .map(|line| {
            let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
            match rest.strip_prefix('#') {
                Some(setting) if setting.starts_with(|c: char| c.is_ascii_alphabetic() || c == '-') => {
                    format!("{indent}{setting}\n")
                }
                _ => format!("{line}\n"),
            }
        })
        .collect::<String>()
        // Retries and a spill are for what connects.
        .replace("\"stdout:\"", "tcp://127.0.0.1:5044");
    let config = from_text("config/ringward.yaml", &taken_in).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(config.destinations[0].spill.is_some() && !config.capture.units.is_empty(), "{config:?}");
}

#[test]
fn everything_can_be_said() {
    let config = from_text(
        "t.yaml",
        "state_dir: /s\nio: epoll\nshutdown_timeout: 3s\nring: {bytes: 8MiB, records: 5}\n\
         capture: {hook: kprobe, ring_bytes: 1MiB, max_write: 64KiB, idle_flush: 2s, max_line: 2KiB, from: ebpf, parse: talos, containers: no_, exclude: [a*], \
         backlog: false, pids: [3, 1, 3], cgroups: [/a/], units: [cron], hold: 1MiB}\n"
            .replace("no_", "false")
            .as_str(),
    )
    .unwrap();
    assert_eq!(config.ring, RingConfig { bytes: 8 << 20, records: 5, file: None });
    assert_eq!(
        config.capture,
        CaptureConfig {
            hook: HookChoice::Kprobe,
            ring_bytes: 1 << 20,
            max_write: 64 << 10,
            idle_flush: Duration::from_secs(2),
            max_line: 2 << 10,
            from: CaptureFrom::Ebpf,
            parse: CaptureParse::Talos,
            pattern: None,
            multiline: None,
            containers: false,
            exclude: vec![crate::source::container::NamePattern::parse("a*").unwrap()],
            backlog: false,
            pids: vec![1, 3],
            cgroups: texts(&["/a"]),
            units: texts(&["cron.service"]),
            hold_bytes: 1 << 20,
        }
    );
    assert_eq!((config.io, config.shutdown_timeout), (IoChoice::Epoll, Duration::from_secs(3)));
}

#[test]
fn log_files_alone() {
    let config = from_text("t.yaml", "capture: {from: file, max_line: 2KiB, backlog: false, parse: logfmt}\n").unwrap();
    let [files] = config.files.as_slice() else { panic!("{:?}", config.files) };
    assert_eq!((files.max_line, files.read_from, files.parse), (2 << 10, ReadFrom::End, CaptureParse::Logfmt));
    let problems = from_text("t.yaml", "capture: {from: file, exclude: [a], pids: [1]}\n").unwrap_err();
    assert_eq!(problems.0.len(), 2, "{problems}");
}

#[test]
fn destinations_resolve() {
    let config = from_text(
        "t.yaml",
        "state_dir: /s\ndestinations:\n- endpoint: udp://127.0.0.1:12345\n  extraTags: {rack: 07, n: }\n  udp: {segment: pad}\n  \
         spill: {bytes: 1GiB}\n\
         - {endpoint: 'tcp://h:1', name: ../up, max_record_bytes: 4096, resend_window: 64KiB, spill: {bytes: 1MiB}}\n",
    )
    .unwrap();
    let [udp, tcp] = config.destinations.as_slice() else { panic!() };
    assert_eq!(udp.name, "udp://127.0.0.1:12345");
    assert_eq!(udp.max_record_bytes, Some(MAX_DATAGRAM));
    assert_eq!((udp.udp_segment, tcp.udp_segment), (SegmentChoice::Pad, SegmentChoice::Off));
    assert_eq!(udp.extra_tags, [("n".into(), String::new()), ("rack".into(), "07".into())].into());
    assert_eq!(udp.spill.as_ref().unwrap().dir, std::path::Path::new("/s/spill/udp%3A%2F%2F127.0.0.1%3A12345"));
    assert_eq!((tcp.max_record_bytes, tcp.resend_window), (Some(4096), Some(65536)));
    assert_eq!(tcp.spill.as_ref().unwrap().dir, std::path::Path::new("/s/spill/%2E.%2Fup"));
}

#[test]
fn the_longest_record_may_be_what_a_known_receiver_takes() {
    let limits = |limit: &str| {
        let text = ["tcp", "udp"].map(|scheme| format!("{{endpoint: '{scheme}://h:1', max_record_bytes: {limit}}}"));
        let config = from_text("t.yaml", &format!("destinations: [{}]", text.join(", "))).unwrap();
        let [tcp, udp] = config.destinations.as_slice() else { panic!() };
        (tcp.max_record_bytes, udp.max_record_bytes)
    };
    assert_eq!(limits("auto"), (None, Some(MAX_DATAGRAM)));
    assert_eq!(limits("omni"), (Some(4096), Some(4096)));
    assert_eq!(limits("fluent-bit"), (Some(32768), Some(32767)));
    assert_eq!(limits("1KiB"), (Some(1024), Some(1024)));
    let found = problems("destinations: [{endpoint: 'tcp://h:1', max_record_bytes: fluentbit}]");
    let expected = "t.yaml:1:58: destinations[0].max_record_bytes: `fluentbit` does not start with a number; \
                    accepted: `auto`, `omni`, `fluent-bit`, or a size in bytes";
    assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
}

#[test]
fn a_destination_says_which_records_it_gets() {
    let text = "destinations: [{endpoint: 'udp://h:1'}, {endpoint: 'udp://h:2', records: kernel}, {endpoint: 'udp://h:3', records: services}]";
    let records: Vec<_> = from_text("t.yaml", text).unwrap().destinations.iter().map(|one| one.records).collect();
    assert_eq!(records, [RecordsChoice::All, RecordsChoice::Kernel, RecordsChoice::Services]);
    let found = problems("destinations: [{endpoint: 'udp://h:1', records: kernal}]");
    assert!(found.len() == 1 && found[0].contains("(did you mean `kernel`?)"), "{found:?}");
}

#[test]
fn templates_in_tags_are_replaced_or_said_to_be_wrong() {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let text = "destinations: [{endpoint: 'udp://h:1', extraTags: {a: 'x-${hostname}', b: '$${hostname}'}}]";
    let tags = texts(&["c=${env:PATH}"]);
    let config = with_flags(text, Overrides { tags, ..Overrides::default() }).unwrap();
    let tag = |key: &str| config.destinations[0].extra_tags[key].as_str();
    assert_eq!(
        (tag("a"), tag("b"), tag("c")),
        (format!("x-{}", hostname.trim()).as_str(), "${hostname}", std::env::var("PATH").unwrap().as_str())
    );
    let text = "destinations: [{endpoint: 'udp://h:1', extraTags: {a: '${host}', b: '${env:RINGWARD_NOT_SET}'}}]";
    let tags = texts(&["c=${hostname"]);
    let found = with_flags(text, Overrides { tags, ..Overrides::default() }).unwrap_err();
    let found: Vec<_> = found.0.iter().map(ToString::to_string).collect();
    for (found, expected) in found.iter().zip([
        "--tag: c: `${hostname` has no `}`; accepted: `${NAME}`",
        "t.yaml:1:51: destinations[0].extraTags.a: `${host}` is unknown",
        "t.yaml:1:51: destinations[0].extraTags.b: `${env:RINGWARD_NOT_SET}` can't be replaced: the environment has no",
    ]) {
        assert!(found.starts_with(expected), "{found}\nshould start with\n{expected}");
    }
    assert_eq!(found.len(), 3);
}

#[test]
fn listeners_resolve() {
    let text = "ring: {bytes: 1MiB}\nlisten:\n- {endpoint: 'tcp://[::]:5140', name: nodes, parse: talos, max_line: 64KiB, max_connections: 5}\n\
                - {endpoint: 'udp://0.0.0.0:5140', receive_buffer: 1MiB}\n- endpoint: tcp://h:0\n- endpoint: tcp://h:0\n";
    let flags = Overrides { listen: texts(&["udp://h:1"]), ..Overrides::default() };
    let config = with_flags(text, flags).unwrap();
    let names: Vec<_> = config.listen.iter().map(|listen| listen.name.as_str()).collect();
    assert_eq!(names, ["nodes", "udp://0.0.0.0:5140", "tcp://h:0", "tcp://h:0", "udp://h:1"]);
    let [tcp, udp, ..] = config.listen.as_slice() else { panic!() };
    assert_eq!((tcp.parse, tcp.max_line, tcp.max_connections), (ParseChoice::Talos, 64 << 10, 5));
    assert_eq!((udp.parse, udp.max_line, udp.receive_buffer), (ParseChoice::Auto, 256 << 10, 1 << 20));

    let text = "listen:\n- endpoint: unix:///y\n- {endpoint: 'unix:///x', parse: talos_syslog, mode: 0600}\n\
                - {endpoint: 'udp://h:514', parse: syslog}\n";
    let config = with_flags(text, Overrides::default()).unwrap();
    let found: Vec<_> = config.listen.iter().map(|listen| (listen.name.as_str(), listen.parse, listen.mode)).collect();
    let (syslog, talos) = (ParseChoice::Syslog, ParseChoice::TalosSyslog);
    assert_eq!(found, [("unix:///y", syslog, 0o666), ("syslogd", talos, 0o600), ("udp://h:514", syslog, 0o666)]);
    let name = |text| with_flags(text, Overrides::default()).unwrap().listen[0].name.clone();
    assert_eq!(name("listen: [{endpoint: 'unix:///dev/log'}]"), "syslogd");
    assert_eq!(name("listen: [{endpoint: 'unix:///dev/log', name: a}]"), "a");
    assert_eq!(name("listen: [{endpoint: 'unix:///dev/log', parse: auto}]"), "unix:///dev/log");
}

#[test]
fn what_is_wrong_with_a_listener() {
    for (item, problem) in [
        ("{name: x}", "t.yaml:1:10: listen[0]: has no `endpoint`; accepted: udp://ADDRESS:PORT"),
        ("{endpoint: 'stdout:'}", "t.yaml:1:21: listen[0].endpoint: `stdout:` has the unknown scheme `stdout`"),
        (
            "{endpoint: 'udp://h:1', max_connections: 5}",
            "t.yaml:1:51: listen[0].max_connections: datagrams come without",
        ),
        (
            "{endpoint: 'tcp://h:1', receive_buffer: 1MiB}",
            "t.yaml:1:50: listen[0].receive_buffer: a connection's buffer",
        ),
        (
            "{endpoint: 'unix:///dev/log', receive_buffer: 1MiB}",
            "t.yaml:1:56: listen[0].receive_buffer: a unix socket's buffer",
        ),
        (
            "{endpoint: 'unix:///dev/log', max_connections: 1}",
            "t.yaml:1:57: listen[0].max_connections: datagrams come without",
        ),
        ("{endpoint: 'tcp://h:1', mode: 0600}", "t.yaml:1:40: listen[0].mode: an address has no file"),
        (
            "{endpoint: 'unix:///dev/log', mode: 0888}",
            "t.yaml:1:46: listen[0].mode: `0888` is no mode; accepted: permissions in octal, as 0666",
        ),
        ("{endpoint: 'unix://dev/log'}", "t.yaml:1:21: listen[0].endpoint: `unix://dev/log` is no absolute path"),
        (
            "{endpoint: 'tcp://h:1', max_connections: 0}",
            "t.yaml:1:51: listen[0].max_connections: `0` is too small; accepted: 1 to",
        ),
        (
            "{endpoint: 'tcp://h:1', parse: json}",
            "t.yaml:1:41: listen[0].parse: `json` is unknown; accepted: `auto`, `detect`, `talos`",
        ),
        (
            "{endpoint: 'tcp://h:1', max_line: 5MiB}",
            "t.yaml:1:44: listen[0].max_line: `5MiB` is more than ring.bytes, which is 4MiB",
        ),
        (
            "{endpoint: 'tcp://h:1'}, {endpoint: 'tcp://h:1', name: x}",
            "t.yaml:1:35: listen[1]: listens on tcp://h:1, like another",
        ),
        (
            "{endpoint: 'tcp://h:1', name: x}, {endpoint: 'udp://h:1', name: x}",
            "t.yaml:1:44: listen[1]: has the name `x`, like the",
        ),
        ("{endpoint: 'stdin:', mode: 0600}", "t.yaml:1:37: listen[0].mode: it has no file"),
        ("{endpoint: 'exec:a', max_connections: 2}", "t.yaml:1:48: listen[0].max_connections: nobody connects"),
        ("{endpoint: 'exec:/x/a'}, {endpoint: 'exec:a -b'}", "t.yaml:1:35: listen[1]: has the name `a`, like the"),
        ("{endpoint: 'stdin:'}, {endpoint: 'stdin:', name: x}", "t.yaml:1:32: listen[1]: listens on stdin:, like"),
        (
            "{endpoint: 'udp://h:1', parse: journal_export}",
            "t.yaml:1:41: listen[0].parse: entries of a journal come as a stream",
        ),
        ("{endpoint: 'tcp://h:1', parse: regex}", "t.yaml:1:41: listen[0].parse: has no `pattern` beside it"),
        (
            "{endpoint: 'tcp://h:1', parse: regex, pattern: 'a(b)'}",
            "t.yaml:1:57: listen[0].pattern: has no named group",
        ),
        (
            "{endpoint: 'tcp://h:1', time_format: '%H'}",
            "t.yaml:1:47: listen[0].time_format: `%H`: a time written so can't be read again",
        ),
    ] {
        let found = problems(&format!("listen: [{item}]"));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(problem), "{}\nshould start with\n{problem}", found[0]);
    }
    let long = problems(&format!("listen: [{{name: x, endpoint: 'unix:///{}'}}]", "x".repeat(107)));
    assert!(long.len() == 1 && long[0].contains("of at most 107 bytes"), "{long:?}");
    let small = problems("ring: {bytes: 128KiB}\ncapture: {max_line: 1KiB}\nlisten: [{endpoint: 'tcp://h:1'}]");
    assert_eq!(small.len(), 1);
    assert!(small[0].starts_with("t.yaml:3:10: listen[0]: `256KiB` is more than ring.bytes"), "{small:?}");
}

#[test]
fn all_problems_at_once_with_their_places() {
    let text = "rign: {bytes: 1MiB}\ncapture:\n  hook: fentry\n  idle_flush: 10\n  pids: [0]\ndestinations:\n\
                - endpoint: udp://h\n- name: x\n- endpoint: 'stdout:'\n  extra_tags: {}\n- 5\n- endpoint: udp://h:1\n  max_record_bytes: 70000\n  spill: {}\n";
    let expected = [
        "t.yaml:1:1: rign: unknown key (did you mean `ring`?); accepted: `state_dir`, `io`",
        "t.yaml:3:9: capture.hook: `fentry` is unknown; accepted: `auto`, `fexit`",
        "t.yaml:4:15: capture.idle_flush: `10` has no unit; accepted: a duration",
        "t.yaml:5:10: capture.pids[0]: `0` is not a process id; accepted:",
        "t.yaml:7:13: destinations[0].endpoint: `udp://h` has no port; accepted: udp://HOST:PORT",
        "t.yaml:10:3: destinations[2].extra_tags: unknown key (did you mean `extraTags`?); accepted:",
        "t.yaml:11:3: destinations[3]: is a single value; accepted: a mapping with the keys `endpoint`",
        "t.yaml:8:3: destinations[1]: has no `endpoint`; accepted: udp://HOST:PORT",
        "t.yaml:14:10: destinations[4].spill: has no `bytes`; accepted: a size",
        "t.yaml:13:21: destinations[4].max_record_bytes: `70000` is too large; accepted: 512 to 65507",
    ];
    let found = problems(text);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nshould start with\n{expected}");
    }
}

#[test]
fn bounds_hold_between_keys() {
    for (text, why) in [
        ("ring: {bytes: 1KiB}", "ring.bytes: `1KiB` is too small; accepted: 64KiB to 64GiB"),
        ("ring: {bytes: 128KiB}", "less than capture.max_line"),
        ("capture: {max_line: 8MiB}", "t.yaml:1:21: capture.max_line: `8MiB` is more than ring.bytes, which is 4MiB"),
        ("ring: {records: 0}", "ring.records: `0` holds nothing"),
        ("ring: {records: many}", "`many` is not a number; accepted: `unlimited`, or a number"),
        ("shutdown_timeout: 2h", "`2h` is too large; accepted: 0s to 1h"),
        ("state_dir: here", "`here` is not an absolute path"),
        ("io: [auto]", "io: is a list; accepted: `auto`"),
        ("capture: [x]", "capture: is a list; accepted: a mapping"),
        ("- a", "is a list; accepted: a mapping with the keys `state_dir`"),
        ("destinations: {endpoint: 'stdout:'}", "destinations: is a mapping; accepted: a list"),
        ("destinations: [{endpoint: 'udp://h:1', retry: {initial: 1m}}]", "waits 1m at first, but 30s at most"),
        (
            "destinations: [{endpoint: 'udp://h:1'}, {endpoint: 'udp://h:1/'}]",
            "destinations[1]: has the name `udp://h:1`, like the destination at t.yaml:1:16",
        ),
        ("destinations: [{endpoint: 'stdout:'}, {endpoint: 'stdout:', name: x}]", "is stdout:, like"),
        ("destinations: [{endpoint: 'stdout:', extraTags: {'': x}}]", "holds a tag without a name"),
        ("destinations: [{endpoint: 'stdout:', extraTags: {a: [x]}}]", "extraTags.a: is a list; accepted: text"),
        (
            "destinations: [{endpoint: 'stdout:', spill: {bytes: 1MiB}}]",
            "destinations[0].spill: stdout can't be spilled",
        ),
        (
            "destinations: [{endpoint: 'stdout:', retry: {max: 1m}}]",
            "destinations[0].retry: stdout can't be tried again",
        ),
        (
            "destinations: [{endpoint: 'udp://h:1', resend_window: 1MiB}]",
            "destinations[0].resend_window: udp://h:1 can't",
        ),
        (
            "destinations: [{endpoint: 'tcp://h:1', udp: {segment: pad}}]",
            "destinations[0].udp.segment: tcp://h:1 sends no datagrams; accepted: `segment: pad` with udp",
        ),
        (
            "destinations: [{endpoint: 'udp://h:1', udp: {segment: on}}]",
            "destinations[0].udp.segment: `on` is unknown; accepted: `off`, `pad`",
        ),
        ("destinations: [{endpoint: 'udp://h:1', name: (x)}]", "destinations[0].name: `(x)` starts with `(`"),
        (
            "destinations: [{endpoint: 'tcp://h:1', max_record_bytes: 512, extraTags: {a: TAG}}]"
                .replace("TAG", &"x".repeat(300))
                .as_str(),
            "the limit is 512; accepted: tags with which it has at most 256, or a larger max_record_bytes",
        ),
        ("destinations: [{endpoint: 'udp://h:1', spill: {bytes: 1kB}}]", "`1000` is too small; accepted: 1MiB to"),
        ("kernel: {enabled: yes}", "`yes` is neither true nor false; accepted: `true` or `false`"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].contains(why), "{text}: {found:#?}\nshould be\n{why}");
    }
}

#[test]
fn later_documents_replace_values_and_extend_lists() {
    let text = "io: epoll\nring: {bytes: 8MiB}\ndestinations: [{endpoint: 'udp://h:1'}]\n---\n\
                io: uring\nring: {records: 9}\ndestinations: [{endpoint: 'udp://h:2'}]\n";
    let config = from_text("t.yaml", text).unwrap();
    assert_eq!(config.io, IoChoice::Uring);
    assert_eq!(config.ring, RingConfig { bytes: 8 << 20, records: 9, file: None });
    assert_eq!(config.destinations.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["udp://h:1", "udp://h:2"]);
}

#[test]
fn flags_add_to_and_override_the_file() {
    let overrides = Overrides {
        to: texts(&["tcp://h:5044"]),
        tags: texts(&["server=s03=x", "rack=8"]),
        spill: Some("2MiB".into()),
        capture_hook: Some("tracepoint".into()),
        io: Some("uring".into()),
        pids: texts(&["7"]),
        no_kernel: true,
        no_containers: true,
        state_dir: Some("/x".into()),
        ..Overrides::default()
    };
    let text = "io: epoll\nkernel: {kmsg: /k}\ncapture: {pids: [9], max_line: 1KiB}\n\
                destinations: [{endpoint: 'udp://h:1', extraTags: {rack: 7, a: b}}]";
    let config = with_flags(text, overrides).unwrap();
    assert_eq!((config.io, config.capture.hook), (IoChoice::Uring, HookChoice::Tracepoint));
    assert_eq!((config.capture.pids, config.capture.max_line), (vec![7, 9], 1 << 10));
    assert!(!config.capture.containers && !config.kernel.enabled);
    assert_eq!(config.kernel.kmsg, std::path::Path::new("/k"));
    let [udp, tcp] = config.destinations.as_slice() else { panic!() };
    let tags = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    assert_eq!(udp.extra_tags, tags(&[("a", "b"), ("rack", "8"), ("server", "s03=x")]));
    assert_eq!(tcp.extra_tags, tags(&[("rack", "8"), ("server", "s03=x")]));
    assert!(
        [udp, tcp].iter().all(|d| { d.spill.as_ref().is_some_and(|s| s.bytes == 2 << 20 && s.dir.starts_with("/x")) })
    );
}

#[test]
fn flags_are_named_in_problems() {
    let overrides = Overrides {
        to: texts(&["udp://h", "udp://h:1", "udp://h:1"]),
        tags: texts(&["x", "=y", "a=1", "a=2"]),
        io: Some("kqueue".into()),
        pids: texts(&["init"]),
        ..Overrides::default()
    };
    let found: Vec<_> = with_flags("", overrides).unwrap_err().0.iter().map(ToString::to_string).collect();
    for (found, expected) in found.iter().zip([
        "--io: `kqueue` is unknown; accepted: `auto`, `uring`, `epoll`",
        "--pid: `init` is not a process id",
        "--to: `udp://h` has no port; accepted: udp://HOST:PORT",
        "--tag: `x` has no `=`; accepted: KEY=VALUE",
        "--tag: `=y` has no key",
        "--tag: `a` is given twice",
        "--to: has the name `udp://h:1`, like the destination at --to",
    ]) {
        assert!(found.starts_with(expected), "{found}\nshould start with\n{expected}");
    }
    assert_eq!(found.len(), 7);
}

#[test]
fn tags_of_the_command_line_fit_and_a_spill_has_something_to_spill() {
    let said = |overrides| with_flags("", overrides).unwrap_err().to_string();
    let tags = texts(&[&format!("a={}", "x".repeat(70_000))]);
    let found = said(Overrides { to: texts(&["udp://h:1"]), tags: tags.clone(), ..Overrides::default() });
    assert!(found.starts_with("--tag: a record with these tags and no text has 70"), "{found}");
    assert!(found.contains("the limit is 65507; accepted: tags with which it has at most 64483"), "{found}");
    assert!(with_flags("", Overrides { to: texts(&["tcp://h:1"]), tags, ..Overrides::default() }).is_ok());
    let spill = Some("1MiB".to_owned());
    let found = said(Overrides { spill: spill.clone(), ..Overrides::default() });
    assert!(found.starts_with("--spill: stdout can't be spilled"), "{found}");
    let both = Overrides { to: texts(&["stdout:", "tcp://h:1"]), spill, ..Overrides::default() };
    let config = with_flags("", both).unwrap();
    assert_eq!(config.destinations.iter().map(|d| d.spill.is_some()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn the_state_dir_comes_from_systemd_where_nothing_is_said() {
    let resolved = |state_directory: Option<&str>| {
        let environment = Environment { state_directory: state_directory.map(str::to_owned), ..Environment::default() };
        load_sources(&[], &Overrides::default(), &environment, Problems::default())
    };
    assert_eq!(resolved(None).unwrap().config.state_dir, std::path::Path::new("/var/lib/ringward"));
    assert_eq!(resolved(Some("/a:/b")).unwrap().config.state_dir, std::path::Path::new("/a"));
    assert!(resolved(Some("a")).unwrap_err().to_string().starts_with("$STATE_DIRECTORY: `a` is not an absolute"));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "([a-z]{1,8}:|- |  |\\n|\\[|\\{|[&*!|>'\"]|.){0,60}") {
        let _ = from_text("t.yaml", &text);
    }
}

#[test]
fn the_views_socket_is_in_the_state_directory_or_where_it_is_said() {
    let view = |text: &str| from_text("t.yaml", text).unwrap().view;
    let default = view("state_dir: /s").unwrap();
    assert!(default.socket == Path::new("/s/ringward.sock") && !default.required);
    assert!(!view("view: { enabled: true }").unwrap().required);
    let chosen = view("view: { socket: /run/r.sock }").unwrap();
    assert!(chosen.socket == Path::new("/run/r.sock") && chosen.required);
    assert_eq!(view("view: { enabled: false, socket: /run/r.sock }"), None);
    // Of a default nobody is told in advance.
    assert!(!view(&format!("state_dir: /{}", "x".repeat(107))).unwrap().required);
    let found = problems(&format!("view: {{ socket: /{} }}", "x".repeat(107)));
    assert!(found.len() == 1 && found[0].contains("view.socket: has 108 bytes"), "{found:?}");
}

#[test]
fn memlogd_is_made_where_it_is_asked_for() {
    assert_eq!(from_text("t.yaml", "memlogd: { max_line: 1KiB }").unwrap().memlogd, None);
    let config = from_text("t.yaml", "memlogd: { enabled: true, format: text, cut: bytes, max_line: 2KiB }").unwrap();
    let memlogd = config.memlogd.unwrap();
    assert_eq!((memlogd.format, memlogd.cut, memlogd.max_line), (EntryChoice::Text, CutChoice::Bytes, 2 << 10));
    // The default line goes down with a small ring.
    let small = "memlogd: { enabled: true }\nring: { bytes: 64KiB }\ncapture: { max_line: 64KiB }";
    assert_eq!(from_text("t.yaml", small).unwrap().memlogd.unwrap().max_line, 64 << 10);
    let example = include_str!("../../../config/linuxkit.yaml");
    assert!(from_text("config/linuxkit.yaml", example).unwrap().memlogd.is_some());
}

#[test]
fn sockets_of_memlogd_must_be_possible() {
    let found = problems(&format!("memlogd: {{ log_socket: /{}, query_socket: /q }}", "x".repeat(107)));
    assert!(found.len() == 1 && found[0].contains("has 108 bytes") && found[0].contains("107"), "{found:?}");
    let found = problems("memlogd: { log_socket: /s, query_socket: /s }");
    assert!(found.len() == 1 && found[0].contains("is the log_socket too"), "{found:?}");
    let found = problems("memlogd: { log_socket: s, max_line: 8MiB }");
    assert!(found.len() == 2, "{found:?}");
    assert!(found.iter().any(|problem| problem.contains("is more than ring.bytes")), "{found:?}");
}

#[test]
fn the_journal_resolves() {
    let text = "ring: {bytes: 2MiB}\njournal: {enabled: true, folders: [/host/run/log/journal], read_from: end, \
         matches: [{SYSLOG_IDENTIFIER: kata, PRIORITY: '3'}, {_PID: 7}], fields: [_PID], names: journal, max_field: 2KiB}\n";
    let journal = from_text("t.yaml", text).unwrap().journal.unwrap();
    assert_eq!(journal.folders, [Path::new("/host/run/log/journal")]);
    assert_eq!((journal.read_from, journal.names, journal.max_field), (ReadFrom::End, JournalNames::Journal, 2048));
    assert_eq!((journal.matches.len(), journal.matches[1]["_PID"].as_str()), (2, "7"));
    assert_eq!(journal.fields, Some(vec!["_PID".to_owned()]));
    // The kernel's log: whoever asks for entries gets those he asks for, and nobody gets it twice.
    for (text, without_kernel) in [
        ("journal: {enabled: true}", true),
        ("kernel: {enabled: false}\njournal: {enabled: true}", false),
        ("journal: {enabled: true, matches: [{A: b}]}", false),
        ("journal: {enabled: true, kernel: true}", false),
        ("journal: {enabled: true, matches: [{A: b}], kernel: false}", true),
    ] {
        let journal = from_text("t.yaml", text).unwrap().journal.unwrap();
        assert_eq!((journal.without_kernel, journal.folders.len()), (without_kernel, 2), "{text}");
    }
    assert_eq!(from_text("t.yaml", "journal: {read_from: end}").unwrap().journal, None);
}

#[test]
fn what_is_wrong_with_the_journal() {
    for (document, expected) in [
        ("{matches: [{}]}", "t.yaml:1:21: journal.matches[0]: holds no field, and would match everything"),
        ("{matches: [{unit: a}]}", "t.yaml:1:21: journal.matches[0].unit: `unit` is not the name of a field"),
        ("{matches: [A=b]}", "t.yaml:1:21: journal.matches[0]: is"),
        ("{fields: [all]}", "t.yaml:1:20: journal.fields[0]: `all` is not the name of a field"),
        ("{folders: [log]}", "t.yaml:1:21: journal.folders[0]: `log` is not an absolute path"),
        ("{folders: []}", "t.yaml:1:20: journal.folders: is an empty list"),
        ("{names: long}", "t.yaml:1:18: journal.names: `long` is unknown; accepted: `short`, `journal`"),
        ("{enabled: true, max_field: 5MiB}", "t.yaml:1:37: journal.max_field: `5MiB` is more than ring.bytes"),
        ("{max_field: 5}", "t.yaml:1:22: journal.max_field: `5` is too small"),
    ] {
        let found = problems(&format!("journal: {document}"));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{document}: {found:?}");
    }
}
