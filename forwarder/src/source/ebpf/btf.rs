//! Reads what capture needs of the kernel's own type information: offsets of members, values of enumerators,
//! and which functions and tracepoints exist. Format: Documentation/bpf/btf.rst of the kernel.
//!
//! aya loads BTF too, but does not tell offsets; Rust programs have no CO-RE relocations.

use std::path::Path;

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;

/// Why BTF can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    #[error("could not read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("the kernel's type information is damaged at byte {0}")]
    Damaged(usize),
}

/// The kernel's types. Only the places of the types are kept beside the raw data: a look-up by name finds the name
/// in the string table, where it stands once, and then looks through the types for that place.
pub struct KernelTypes {
    data: Vec<u8>,
    strings_at: usize,
    /// Byte offset of each type, by id less one.
    types: Vec<u32>,
}

impl KernelTypes {
    /// Reads the running kernel's types, usually from /sys/kernel/btf/vmlinux.
    ///
    /// # Errors
    /// Where there is no such file or it is not BTF.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let data = std::fs::read(path).map_err(|source| BtfError::Read { path: path.display().to_string(), source })?;
        Self::parse(data)
    }

    /// Finds the types in BTF.
    ///
    /// # Errors
    /// Where a table points outside the data.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        if half(&data, 0)? != MAGIC {
            return Err(BtfError::Damaged(0));
        }
        let header = word(&data, 4)? as usize;
        let types_at = header + word(&data, 8)? as usize;
        let types_end = types_at + word(&data, 12)? as usize;
        let strings_at = header + word(&data, 16)? as usize;
        let strings_end = strings_at + word(&data, 20)? as usize;
        if strings_end > data.len() {
            return Err(BtfError::Damaged(data.len()));
        }
        let mut types = Vec::new();
        let mut at = types_at;
        while at < types_end {
            types.push(at as u32);
            let info = word(&data, at + 4)?;
            let (count, kind) = ((info & 0xffff) as usize, (info >> 24) & 0x1f);
            at += 12 + trailer(kind, count).ok_or(BtfError::Damaged(at))?;
        }
        Ok(Self { data, strings_at, types })
    }

    /// The first type of this kind and name.
    fn find(&self, kind: u32, name: &str) -> Option<usize> {
        let strings = &self.data[self.strings_at..];
        let between_nuls = [b"\0", name.as_bytes(), b"\0"].concat();
        let name_at = memchr::memmem::find(strings, &between_nuls)? as u32 + 1;
        let found = self.types.iter().find(|at| {
            let at = **at as usize;
            word(&self.data, at).is_ok_and(|name| name == name_at)
                && word(&self.data, at + 4).is_ok_and(|info| (info >> 24) & 0x1f == kind)
        })?;
        Some(*found as usize)
    }

    /// Byte offset of a member, looked up also inside anonymous members; a path has dots: `ns.inum`.
    pub fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        let mut at = self.find(KIND_STRUCT, structure)?;
        let mut sum = 0;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let (bits, kind) = self.member(at, part)?;
            sum += bits / 8;
            if parts.peek().is_some() {
                at = self.resolve(kind)?;
            }
        }
        Some(sum)
    }

    /// Value of an enumerator of a named enum.
    pub fn enumerator(&self, name: &str, value: &str) -> Option<u32> {
        let at = self.find(KIND_ENUM, name)?;
        let count = word(&self.data, at + 4).ok()? & 0xffff;
        (0..count as usize).find_map(|index| {
            let entry = at + 12 + index * 8;
            let found = self.string(word(&self.data, entry).ok()?).ok()?;
            (found == value).then(|| word(&self.data, entry + 4).ok()).flatten()
        })
    }

    pub fn has_function(&self, name: &str) -> bool {
        self.find(KIND_FUNC, name).is_some()
    }

    /// Parameters of the function type that a typedef points to, such as a tracepoint's `btf_trace_…`.
    pub fn parameter_count(&self, typedef: &str) -> Option<u32> {
        let pointer = self.type_at(word(&self.data, self.find(KIND_TYPEDEF, typedef)? + 8).ok()?)?;
        let function = self.type_at(word(&self.data, pointer + 8).ok()?)?;
        let info = word(&self.data, function + 4).ok()?;
        ((info >> 24) & 0x1f == KIND_FUNC_PROTO).then_some(info & 0xffff)
    }

    fn type_at(&self, id: u32) -> Option<usize> {
        self.types.get(id.checked_sub(1)? as usize).map(|at| *at as usize)
    }

    /// Bit offset and type of a member of the structure or union at `at`.
    fn member(&self, at: usize, name: &str) -> Option<(u32, u32)> {
        let info = word(&self.data, at + 4).ok()?;
        let has_bitfields = info >> 31 == 1;
        for index in 0..(info & 0xffff) as usize {
            let entry = at + 12 + index * 12;
            let kind = word(&self.data, entry + 4).ok()?;
            let mut bits = word(&self.data, entry + 8).ok()?;
            if has_bitfields {
                bits &= 0x00ff_ffff;
            }
            let found = self.string(word(&self.data, entry).ok()?).ok()?;
            if found == name {
                return Some((bits, kind));
            }
            if found.is_empty()
                && let Some(inner) = self.resolve(kind)
                && let Some((more, kind)) = self.member(inner, name)
            {
                return Some((bits + more, kind));
            }
        }
        None
    }

    /// The structure or union behind a type id, through typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<usize> {
        for _ in 0..16 {
            let at = self.type_at(id)?;
            let kind = (word(&self.data, at + 4).ok()? >> 24) & 0x1f;
            match kind {
                KIND_STRUCT | KIND_UNION => return Some(at),
                KIND_TYPEDEF..=KIND_RESTRICT => id = word(&self.data, at + 8).ok()?,
                _ => return None,
            }
        }
        None
    }

    fn string(&self, offset: u32) -> Result<String, BtfError> {
        let at = self.strings_at + offset as usize;
        let rest = self.data.get(at..).ok_or(BtfError::Damaged(at))?;
        let end = memchr::memchr(0, rest).ok_or(BtfError::Damaged(at))?;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }
}

/// Bytes that follow the common part of a type.
fn trailer(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        1 | 14 | 17 => 4,
        3 => 12,
        4 | 5 | 15 | 19 => count * 12,
        6 | 13 => count * 8,
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn half(data: &[u8], at: usize) -> Result<u16, BtfError> {
    let bytes = data.get(at..at + 2).ok_or(BtfError::Damaged(at))?;
    Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn word(data: &[u8], at: usize) -> Result<u32, BtfError> {
    let bytes = data.get(at..at.saturating_add(4)).ok_or(BtfError::Damaged(at))?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_is_understood() {
        let path = Path::new("/sys/kernel/btf/vmlinux");
        let types = KernelTypes::read(path).expect("test machines have BTF");
        assert_eq!(types.offset("list_head", "prev"), Some(8));
        assert!(types.offset("mnt_namespace", "ns.inum").is_some());
        assert!(types.offset("iov_iter", "ubuf").is_some(), "found inside anonymous unions");
        assert!(types.enumerator("iter_type", "ITER_IOVEC").is_some());
        assert!(types.has_function("vfs_write"));
        assert_eq!(types.offset("list_head", "no_such_member"), None);
    }

    #[test]
    fn damage_is_an_error_and_not_a_panic() {
        let good = std::fs::read("/sys/kernel/btf/vmlinux").expect("test machines have BTF");
        for len in [0, 1, 2, 23, 24, 1000, good.len() / 2] {
            assert!(KernelTypes::parse(good[..len].to_vec()).is_err(), "{len}");
        }
    }
}
