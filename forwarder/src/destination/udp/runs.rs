//! Which datagrams go through the kernel together, padded to one size (`udp.segment: pad`).
//!
//! A run is a sequence of records that each fit one packet of the way (larger ones travel alone, in fragments, as
//! without this), at most 64 and together one datagram's worth of bytes. Its size is that of the longest, and what the
//! spaces add is at most a quarter of the records' own bytes: of the lengths of a run that meet this, the greatest is
//! taken. Neighbours that differ too much travel alone. Order is never changed.

use std::io;
use std::os::fd::AsFd;

use crate::destination::config::MAX_DATAGRAM_BYTES;
use crate::sys::{Datagrams, MAX_PADDING, MAX_SEGMENTS, Run, segment_limit};

/// The records' own bytes for each byte of padding, at least.
const BYTES_PER_PADDING: usize = 4;

// Padding is at most a fifth of a message.
const _: () = assert!(MAX_DATAGRAM_BYTES / (BYTES_PER_PADDING + 1) <= MAX_PADDING);

/// How runs are made for the socket at hand.
pub(super) struct Runs {
    wanted: bool,
    /// Largest datagram of a run; `None` where there are none.
    largest: Option<usize>,
    /// It was said that there are none.
    told: bool,
    /// The first run was told to be too big before: the first time may be the echo of another.
    too_big: bool,
}

impl Runs {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, largest: None, told: false, too_big: false }
    }

    /// A new socket: another way, perhaps.
    pub(super) fn open(&mut self, socket: impl AsFd, destination: &str) {
        self.largest = None;
        self.too_big = false;
        if self.wanted {
            match segment_limit(socket.as_fd()) {
                Ok(limit) => self.largest = Some(limit),
                Err(error) => self.give_up(&error, destination),
            }
        }
    }

    /// Largest datagram of a run, where there are any.
    #[cfg(test)]
    pub(super) fn largest(&self) -> Option<usize> {
        self.largest
    }

    /// The runs of the datagrams from number `from` on.
    pub(super) fn plan(&self, datagrams: Datagrams<'_>, from: usize, runs: &mut Vec<Run>) {
        runs.clear();
        let Some(largest) = self.largest else {
            runs.resize(datagrams.ends.len() - from, Run::ONE);
            return;
        };
        let mut next = from;
        while next < datagrams.ends.len() {
            let run = longest_run(datagrams, next, largest);
            next += usize::from(run.datagrams);
            runs.push(run);
        }
    }

    /// The kernel took a run.
    pub(super) fn taken(&mut self) {
        self.too_big = false;
    }

    /// Whether the error of a run says that it has to be made otherwise: the way has become narrower, or the kernel or
    /// the device can't do it at all.
    pub(super) fn refused(&mut self, error: &io::Error, socket: impl AsFd, destination: &str) -> bool {
        let Some(errno) = error.raw_os_error() else { return false };
        if ![libc::EMSGSIZE, libc::EINVAL, libc::EIO, libc::ENOPROTOOPT, libc::EOPNOTSUPP].contains(&errno) {
            return false;
        }
        match segment_limit(socket.as_fd()) {
            Ok(limit) if self.largest.is_some_and(|largest| limit < largest) => self.largest = Some(limit),
            Ok(_) if errno == libc::EMSGSIZE && !std::mem::replace(&mut self.too_big, true) => {}
            _ => self.give_up(error, destination),
        }
        true
    }

    fn give_up(&mut self, error: &io::Error, destination: &str) {
        self.largest = None;
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                destination,
                "udp.segment: pad can't be done on the way to it, each record is sent as a packet of its own: {error}"
            );
        }
    }
}

fn longest_run(datagrams: Datagrams<'_>, from: usize, largest: usize) -> Run {
    let mut best = Run::ONE;
    let (mut size, mut own) = (0, 0);
    let ends = &datagrams.ends[from..];
    let mut start = from.checked_sub(1).map_or(0, |before| datagrams.ends[before]);
    for (before, end) in ends.iter().take(MAX_SEGMENTS).enumerate() {
        let len = end - start;
        start = *end;
        if len > largest {
            break;
        }
        size = len.max(size);
        own += len;
        // The last has no padding.
        let padded = size * before + len;
        if padded > MAX_DATAGRAM_BYTES {
            break;
        }
        if before > 0 && (padded - own) * BYTES_PER_PADDING <= own {
            best = Run { datagrams: before as u16 + 1, size: size as u16 };
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(lengths: &[usize], largest: Option<usize>) -> Vec<Run> {
        let ends: Vec<usize> = lengths
            .iter()
            .scan(0, |end, len| {
                *end += len;
                Some(*end)
            })
            .collect();
        let mut runs = Vec::new();
        Runs { largest, ..Runs::new(true) }.plan(Datagrams { bytes: &[], ends: &ends }, 0, &mut runs);
        runs
    }

    #[test]
    fn records_of_similar_size_travel_together() {
        assert_eq!(plan(&[300; 130], Some(1472)).iter().map(|run| run.datagrams).collect::<Vec<_>>(), [64, 64, 2]);
        assert_eq!(plan(&[300, 320, 280], Some(1472)), [Run { datagrams: 3, size: 320 }]);
        assert_eq!(plan(&[300; 3], None), [Run::ONE; 3]);
    }

    #[test]
    fn one_that_differs_too_much_travels_alone() {
        assert_eq!(plan(&[100, 1400, 100], Some(1472)), [Run::ONE, Run { datagrams: 2, size: 1400 }]);
        assert_eq!(plan(&[100, 100, 1400], Some(1472)), [Run { datagrams: 2, size: 100 }, Run::ONE]);
        // The first is far from the second, but not from all of them.
        assert_eq!(plan(&[100, 300, 300, 300], Some(1472)), [Run { datagrams: 4, size: 300 }]);
    }

    #[test]
    fn what_no_packet_carries_ends_a_run_and_is_none() {
        let run = Run { datagrams: 2, size: 1400 };
        assert_eq!(plan(&[1400, 1400, 2000, 1400, 1400], Some(1472)), [run, Run::ONE, run]);
        assert_eq!(plan(&[40_000, 40_000], Some(65_508)), [Run::ONE; 2]);
    }

    proptest! {
        #[test]
        fn runs_cover_everything_within_their_bounds(
            lengths in prop::collection::vec(prop_oneof![2usize..2000, 2usize..70_000], 0..300),
            largest in prop_oneof![Just(0usize), 100usize..70_000],
        ) {
            let mut rest = lengths.as_slice();
            for run in plan(&lengths, Some(largest)) {
                let (own, behind) = rest.split_at(usize::from(run.datagrams));
                rest = behind;
                if !run.is_segmented() {
                    continue;
                }
                let (size, last) = (usize::from(run.size), own[own.len() - 1]);
                prop_assert_eq!(own.iter().max(), Some(&size));
                prop_assert!(size <= largest && own.len() <= MAX_SEGMENTS);
                let padded = size * (own.len() - 1) + last;
                let sum: usize = own.iter().sum();
                prop_assert!(padded <= MAX_DATAGRAM_BYTES && (padded - sum) * 4 <= sum);
            }
            prop_assert!(rest.is_empty());
        }
    }
}
