//! Makes the 1 MiB of numbered lines that `emit cold` writes straight out of its own, never yet touched, file pages.

#[path = "../../forwarder/tests/harness/numbered.rs"]
#[expect(dead_code, reason = "only the lines are made here, not checked")]
mod numbered;

fn main() {
    let mut text = Vec::with_capacity(1 << 20);
    for number in 0..(1 << 20) / 128 {
        text.extend_from_slice(&numbered::line(number, 127));
        text.push(b'\n');
    }
    let folder = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(std::path::Path::new(&folder).join("cold.txt"), text).expect("OUT_DIR is writable");
    println!("cargo::rerun-if-changed=../../forwarder/tests/harness/numbered.rs");
}
