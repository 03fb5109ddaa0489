//! Documents as Talos takes them, through the whole configuration.

use crate::config::{
    Environment, Loaded, Overrides, Place, Problems, RecordsChoice, ResolvedConfig, Source, load_sources,
};

const SEED: &str = include_str!("../../../../config/talos.yaml");

fn load(files: &[&str], cmdline: &str) -> Result<Loaded, Problems> {
    let sources: Vec<_> = files.iter().zip(["a.yaml", "b.yaml"]).map(|(text, name)| Source::new(name, *text)).collect();
    let environment = Environment { cmdline: cmdline.to_owned(), ..Environment::default() };
    load_sources(&sources, &Overrides::default(), &environment, Problems::default())
}

fn loaded(text: &str) -> Loaded {
    load(&[text], "").unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(text: &str) -> Vec<String> {
    match load(&[text], "") {
        Ok(loaded) => panic!("accepted: {loaded:?}"),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

/// `NAME ENDPOINT RECORDS TAGS` of each destination.
fn destinations(config: &ResolvedConfig) -> Vec<String> {
    let shown = config.destinations.iter().map(|one| {
        let tags: Vec<_> = one.extra_tags.iter().map(|(key, value)| format!(" {key}={value}")).collect();
        format!("{} {} {}{}", one.name, one.endpoint, one.records, tags.concat())
    });
    shown.collect()
}

/// The documents of Talos' own page on logging, pasted.
#[test]
fn the_example_is_accepted() {
    let loaded = loaded(SEED);
    assert_eq!(
        destinations(&loaded.config),
        [
            "udp://127.0.0.1:12345 udp://127.0.0.1:12345 services",
            "tcp://host:5044 tcp://host:5044 services",
            "udp://127.0.0.1:12345#2 udp://127.0.0.1:12345 services server=s03-rack07",
            "remote-log tcp://host:5044 kernel",
        ]
    );
    assert_eq!(loaded.ignored.len(), 1);
    assert!(loaded.ignored[0].ends_with(": machine.install"), "{:?}", loaded.ignored);
}

#[test]
fn a_whole_machine_config_is_taken_and_what_is_ignored_is_listed() {
    let text = "version: v1alpha1\ndebug: false\npersist: true\nmachine:\n  type: controlplane\n  token: a.b\n  logging:\n    \
                destinations:\n      - endpoint: UDP://[::1]:5/x?y=z\n        format: json_lines\n        extraTags: {a: '${hostname}', b: 07}\n  \
                sysctls: {net.core.x: \"1\"}\ncluster:\n  id: x\n---\napiVersion: v1alpha1\nkind: EventSinkConfig\nendpoint: h:1\n---\n\
                apiVersion: beat.k8s.elastic.co/v1beta1\nkind: Beat\nmetadata: {name: talos}\n";
    let loaded = loaded(text);
    // Talos adds tags verbatim.
    assert_eq!(destinations(&loaded.config), ["udp://[::1]:5 udp://[::1]:5 services a=${hostname} b=07"]);
    assert_eq!(
        loaded.ignored,
        [
            "a.yaml:1:1: version",
            "a.yaml:2:1: debug",
            "a.yaml:3:1: persist",
            "a.yaml:5:3: machine.type",
            "a.yaml:6:3: machine.token",
            "a.yaml:12:3: machine.sysctls",
            "a.yaml:13:1: cluster",
            "a.yaml:16:1: kind EventSinkConfig",
            "a.yaml:20:1: kind Beat",
        ]
    );
    assert!(loaded.warnings.is_empty());
    let near = load(&["apiVersion: v1alpha1\nkind: kmsgLogconfig\n"], "").unwrap();
    assert!(near.warnings[0].starts_with("a.yaml:2:7: the kind `kmsgLogconfig` is ignored (did you mean"), "{near:?}");
}

#[test]
fn own_keys_stand_beside_in_one_document_in_one_file_and_in_several() {
    let talos = "machine: {logging: {destinations: [{endpoint: 'tcp://t:1', format: json_lines}]}}\n";
    let own = "ring: {bytes: 8MiB}\ndestinations: [{endpoint: 'udp://r:1'}]\n";
    let expected = ["udp://r:1 udp://r:1 all", "tcp://t:1 tcp://t:1 services"];
    for files in [
        &[format!("{talos}{own}").as_str()][..],
        &[format!("{talos}---\n{own}").as_str()],
        &[format!("{own}---\n{talos}").as_str()],
        &[talos, own],
        &[own, talos],
    ] {
        let loaded = load(files, "").unwrap();
        assert_eq!(destinations(&loaded.config), expected, "{files:?}");
        assert_eq!(loaded.config.ring.bytes, 8 << 20, "{files:?}");
    }
    // A key that is nobody's is ignored where only Talos' keys are, and a mistake beside Ringward's.
    assert_eq!(loaded(&format!("{talos}rign: 1\n")).ignored, ["a.yaml:2:1: rign"]);
    let found = problems(&format!("{talos}{own}rign: 1\n"));
    assert!(
        found.len() == 1 && found[0].starts_with("a.yaml:4:1: rign: unknown key (did you mean `ring`?)"),
        "{found:?}"
    );
    // These words alone say nothing of Talos.
    assert!(problems("debug: true\n")[0].starts_with("a.yaml:1:1: debug: unknown key"));
}

#[test]
fn everything_that_talos_refuses_is_refused_with_its_words_in_one_list() {
    let text = "machine:\n  logging:\n    destinations:\n\
                \x20     - format: json_lines\n\
                \x20     - endpoint: ''\n        format: json\n\
                \x20     - endpoint: http://h:1\n\
                \x20     - endpoint: tcp:///x\n        format: json_lines\n\
                \x20     - endpoint: localhost:514\n        format: json_lines\n\
                \x20     - {endpoint: 'udp://h:1', format: json_lines, extratags: {}}\n\
                \x20     - {endpoint: 'udp://h', format: json_lines}\n\
                \x20     - {endpoint: '1.2.3.4:514', format: json_lines}\n\
                ---\napiVersion: v1alpha1\nkind: KmsgLogConfig\n\
                ---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\nurl: http://h:1\n\
                ---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: b\nurl: tcp://h:1/x\n\
                ---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: c\nurl: udp://h\nformat: json_lines\n\
                ---\napiVersion: v2\nkind: KmsgLogConfig\nname: ''\nurl: ':5'\n\
                ---\nkind: KmsgLogConfig\nname: e\nurl: tcp://h:70000\n\
                ---\nmachine: [x]\n---\nmachine: {logging: [x]}\n---\nrign: 1\n";
    let expected = [
        // In a list, what is wrong with its form comes before what is wrong with its meaning.
        "a.yaml:12:53: machine.logging.destinations[5].extratags: unknown key (did you mean `extraTags`?); accepted: `endpoint`, `format`, `extraTags`",
        "a.yaml:14:20: machine.logging.destinations[7].endpoint: `1.2.3.4:514` has no scheme; accepted: udp://HOST:PORT or tcp://",
        "a.yaml:4:9: machine.logging.destinations[0].endpoint: empty logging endpoint; accepted: udp://HOST:PORT or tcp://",
        "a.yaml:5:19: machine.logging.destinations[1].endpoint: empty logging endpoint's host; accepted: udp://",
        "a.yaml:5:19: machine.logging.destinations[1].endpoint: unexpected logging endpoint scheme \"\"; accepted: udp://",
        "a.yaml:6:17: machine.logging.destinations[1].format: unknown logging format \"json\"; accepted: `json_lines`",
        "a.yaml:7:19: machine.logging.destinations[2].endpoint: unexpected logging endpoint scheme \"http\"; accepted: udp://",
        "a.yaml:7:9: machine.logging.destinations[2].format: unknown logging format \"\"; accepted: `json_lines`",
        "a.yaml:8:19: machine.logging.destinations[3].endpoint: empty logging endpoint's host; accepted: udp://",
        "a.yaml:10:19: machine.logging.destinations[4].endpoint: empty logging endpoint's host; accepted: udp://",
        "a.yaml:10:19: machine.logging.destinations[4].endpoint: unexpected logging endpoint scheme \"localhost\"; accepted: udp://",
        "a.yaml:13:20: machine.logging.destinations[6].endpoint: `udp://h` has no port; accepted: udp://",
        "a.yaml:16:1: KmsgLogConfig.name: name is required; accepted: 1 to 80 bytes",
        "a.yaml:16:1: KmsgLogConfig.url: url is required; accepted: udp://",
        "a.yaml:22:6: KmsgLogConfig.url: url scheme must be tcp:// or udp://; accepted: udp://",
        "a.yaml:27:6: KmsgLogConfig.url: url path must be empty; accepted: udp://",
        "a.yaml:33:1: KmsgLogConfig.format: unknown key; accepted: `apiVersion`, `kind`, `name`, `url`",
        "a.yaml:32:6: KmsgLogConfig.url: url port is required; accepted: udp://",
        "a.yaml:38:6: KmsgLogConfig.url: `:5` has no scheme before its colon; accepted: udp://",
        "a.yaml:35:13: KmsgLogConfig.apiVersion: `v2` is unknown; accepted: `v1alpha1`",
        "a.yaml:35:1: KmsgLogConfig.name: name is required; accepted: 1 to 80 bytes",
        "a.yaml:40:1: KmsgLogConfig: has no `apiVersion`; accepted: `v1alpha1`",
        "a.yaml:42:6: KmsgLogConfig.url: `tcp://h:70000` has the port `70000`, which is not a number from 1 to 65535; accepted: udp://",
        "a.yaml:44:10: machine: is a list; accepted: a mapping",
        "a.yaml:46:20: machine.logging: is a list; accepted: a mapping with the keys `destinations`",
        "a.yaml:48:1: rign: unknown key (did you mean `ring`?)",
    ];
    let found = problems(text);
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nshould start with\n{expected}\nof {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn kernel_destinations_have_their_names_and_no_tags() {
    let document =
        |name: &str, url: &str| format!("---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: {name}\nurl: {url}\n");
    let text = document("omni", "tcp://[fdae:41e4:649b:9303::1]:8092") + &document("local", "udp://:5044/");
    assert_eq!(
        destinations(&loaded(&text).config),
        ["omni tcp://[fdae:41e4:649b:9303::1]:8092 kernel", "local udp://localhost:5044 kernel"]
    );
    let twice = problems(&(document("a", "tcp://h:1") + &document("a", "tcp://h:2")));
    assert!(twice.len() == 1 && twice[0].starts_with("a.yaml:7:1: KmsgLogConfig: has the name `a`, like"), "{twice:?}");
    // What the command line asks for, for every destination, holds for these too.
    let overrides = Overrides { tags: vec!["rack=7".into()], ..Overrides::default() };
    let sources = [Source::new("a.yaml", document("a", "tcp://h:1"))];
    let loaded = load_sources(&sources, &overrides, &Environment::default(), Problems::default()).unwrap();
    assert_eq!(destinations(&loaded.config), ["a tcp://h:1 kernel rack=7"]);
}

#[test]
fn the_kernels_command_line() {
    let document = "apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\nurl: tcp://h:5044\n";
    let read = |text: &str, cmdline: &str| destinations(&load(&[text], cmdline).unwrap().config);
    let argument = "talos.logging.kernel tcp://h:5044 kernel";
    let cmdline = "quiet talos.logging.kernel=tcp://h:5044/ talos.logging.kernel=udp://h:1 x=y\n";
    // A URL that is written otherwise is another destination, as for Talos.
    assert_eq!(read(document, cmdline), [argument, "a tcp://h:5044 kernel"]);
    assert_eq!(read(document, "talos.logging.kernel=tcp://h:5044"), [argument]);
    assert_eq!(
        read(document, "Talos.logging.kernel=tcp://h:1 talos.logging.kernel talos.logging.kernel2=x"),
        ["a tcp://h:5044 kernel"]
    );
    // Not asked for: this node's Talos may send there itself.
    assert_eq!(read("ring: {}", cmdline), ["stdout: stdout: all"]);
    assert_eq!(read("talos: {cmdline: true}", cmdline), [argument]);
    assert_eq!(read(&format!("{document}---\ntalos: {{cmdline: false}}\n"), cmdline), ["a tcp://h:5044 kernel"]);
    assert_eq!(read("machine: {}", cmdline), [argument]);
    assert_eq!(read("kind: Beat", cmdline), ["stdout: stdout: all"]);
    for (url, why) in [
        ("https://h:1", "url scheme must be tcp:// or udp://"),
        ("tcp://h", "url port is required"),
        ("", "url scheme must be"),
        ("h:x:1", "url scheme must be"),
        ("%:", "has no scheme"),
    ] {
        let found = load(&["machine: {}"], &format!("talos.logging.kernel={url}")).unwrap_err();
        let [problem] = found.0.as_slice() else { panic!("{found}") };
        assert!(matches!(&problem.place, Place::File(file) if &**file == "/proc/cmdline"), "{problem}");
        assert!(problem.key == "talos.logging.kernel" && problem.what.contains(why), "{problem}");
        assert!(problem.accepted.contains("talos: {cmdline: false}"), "{problem}");
    }
}

#[test]
fn records_of_own_destinations_stay_as_they_were() {
    let config = loaded("machine: {logging: {destinations: [{endpoint: 'tcp://t:1', format: json_lines}]}}\n").config;
    assert_eq!(config.destinations.len(), 1);
    assert_eq!(config.destinations[0].records, RecordsChoice::Services);
}

proptest::proptest! {
    #[test]
    fn no_document_panics(text in "(machine|kind|version|apiVersion|cluster): ?((v1alpha1|KmsgLogConfig|\\{logging: )?[a-z:/\\[\\]{}'\"\\n -]{0,60})") {
        let _ = load(&[&text], &text);
    }
}
