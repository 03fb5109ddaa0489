//! Records of /dev/kmsg.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringward::source::kmsg::{FacilityNames, KmsgRecord};

fuzz_target!(|data: &[u8]| {
    if let Ok(record) = KmsgRecord::parse(data) {
        assert!(record.severity <= 7);
        assert!(record.message().len() <= record.text.len());
        FacilityNames::Linux.name(record.facility);
        FacilityNames::Talos.name(record.facility);
    }
});
