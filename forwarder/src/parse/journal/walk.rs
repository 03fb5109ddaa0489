//! The way through a file's entries, in the order in which they were added.

use super::object::Array;
use super::{Bytes, Header, JournalError, entry};

/// A place between two entries of one file. It stays right while the file grows.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// The array that the last entry was in.
    array: Option<Array>,
    /// Entries of that array that have been passed.
    index: u64,
    /// Entries of all arrays that have been passed.
    passed: u64,
}

impl Walk {
    /// Entries that are behind.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// The offset of the next entry; `None` where there is none yet. After an error the way does not go on, unless
    /// `header` is that of a file which has changed.
    ///
    /// # Errors
    /// Where the way there is damaged.
    pub fn next(&mut self, bytes: &mut impl Bytes, header: &Header) -> Result<Option<u64>, JournalError> {
        if self.passed >= header.entries {
            return Ok(None);
        }
        let array = self.array_with_room(bytes, header)?;
        let offset = array.item(bytes, header, self.index)?;
        self.index += 1;
        self.passed += 1;
        Ok(Some(offset))
    }

    /// Goes behind the last entry that there is.
    ///
    /// # Errors
    /// Where the way there is damaged.
    pub fn seek_end(&mut self, bytes: &mut impl Bytes, header: &Header) -> Result<(), JournalError> {
        while self.passed < header.entries {
            let array = self.array_with_room(bytes, header)?;
            self.pass(header.entries - self.passed, array);
        }
        Ok(())
    }

    /// Goes from the beginning behind the last entry whose number is at most `seqnum`.
    ///
    /// # Errors
    /// Where the way there is damaged.
    pub fn seek_after(&mut self, bytes: &mut impl Bytes, header: &Header, seqnum: u64) -> Result<(), JournalError> {
        *self = Self::default();
        let mut fields = Vec::new();
        while self.passed < header.entries {
            let array = self.array_with_room(bytes, header)?;
            let (mut low, mut high) = (self.index, array.room.min(self.index + header.entries - self.passed));
            while low < high {
                let middle = low + (high - low) / 2;
                let offset = array.item(bytes, header, middle)?;
                if entry(bytes, header, offset, &mut fields)?.seqnum <= seqnum {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            let wanted = low - self.index;
            self.pass(wanted, array);
            if self.index < array.room {
                break;
            }
        }
        Ok(())
    }

    fn pass(&mut self, most: u64, array: Array) {
        let passed = most.min(array.room - self.index);
        self.index += passed;
        self.passed += passed;
    }

    /// The array that the next entry is in.
    fn array_with_room(&mut self, bytes: &mut impl Bytes, header: &Header) -> Result<Array, JournalError> {
        loop {
            let next = match self.array {
                Some(array) if self.index < array.room => return Ok(array),
                // The next one may have been added since.
                Some(array) => Array::read(bytes, header, array.offset)?.next,
                None => header.first_array,
            };
            if next == 0 {
                let offset = self.array.map_or(176, |array| array.offset);
                return Err(JournalError::Damaged { offset, what: "the next array of entries is missing" });
            }
            (self.array, self.index) = (Some(Array::read(bytes, header, next)?), 0);
        }
    }
}
