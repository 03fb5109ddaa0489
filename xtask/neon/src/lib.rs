//! The escape kernel of the forwarder, the same file, built alone so that it can be tested as arm64 on any machine.

#[path = "../../../forwarder/src/encode/simd/mod.rs"]
pub mod simd;
