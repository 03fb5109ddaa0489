//! What happened to a record on its way, one bit each.

/// Bit set of a record's marks. Every mark is visible in the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// Nothing to mark.
    pub const NONE: Self = Self(0);
    /// The body was longer than a limit and has been cut; `original_len` says how long it was.
    pub const CUT: Self = Self(1);
    /// Written at the same time as another write to the same pipe: the order may differ from the pipe's.
    pub const OVERLAP: Self = Self(2);
    /// Filled in from a second source because the first one lost it.
    pub const RECOVERED: Self = Self(4);
    /// Part of a line: no newline followed its body when it was sent (idle, exit, gap or length limit).
    pub const PARTIAL: Self = Self(8);
    /// Reports a loss instead of carrying a line.
    pub const LOSS: Self = Self(16);

    const KNOWN: u8 = 31;

    /// The set with the bits of a stored batch, or `None` where a bit has no meaning.
    #[inline]
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits & !Self::KNOWN == 0).then_some(Self(bits))
    }

    #[inline]
    pub fn bits(self) -> u8 {
        self.0
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[inline]
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline]
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}
