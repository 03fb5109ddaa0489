//! The state file: one that is damaged is set aside, and what was read is what is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::state::StateDir;
use ringward_fuzz::Folder;

fuzz_target!(|data: &[u8]| {
    let folder = Folder::new();
    let file = folder.path().join("state.json");
    std::fs::write(&file, data).unwrap();
    let mut written = Vec::new();
    for run in 0..2 {
        let state = StateDir::open(folder.path(), "boot").expect("damaged content is no error");
        state.set_routing("", &["a", "b"]);
        state.set_routing("x", &["a", "b"]);
        for destination in ["a", "b"] {
            let before = state.checkpoint(destination).get("file:x").copied().unwrap_or(0);
            state.advance(destination, "file:x", 7);
            assert_eq!(state.checkpoint(destination)["file:x"], before.max(7));
            std::hint::black_box(state.ring_position(destination));
        }
        state.flush().unwrap();
        let now = std::fs::read(&file).unwrap();
        assert!(run == 0 || now == written, "the second time, nothing changes");
        written = now;
    }
});
