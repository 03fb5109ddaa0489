//! Values that are one of a few words, in keys of [`super::raw`].
//!
//! The comments are the words' meaning; what each does is said where its key is.

use super::value::words;

words! {
    /// Which I/O back end carries sources and destinations.
    pub enum IoChoice {
        Auto = "auto",
        Uring = "uring",
        Epoll = "epoll",
    }
}

words! {
    /// Which kernel hook captures writes.
    pub enum HookChoice {
        Auto = "auto",
        Fexit = "fexit",
        TpBtf = "tp_btf",
        Kprobe = "kprobe",
        RawTracepoint = "raw_tracepoint",
        Tracepoint = "tracepoint",
    }
}

words! {
    /// How a destination's records are written.
    pub enum Format {
        JsonLines = "json_lines",
    }
}

words! {
    /// Which records a destination gets.
    pub enum RecordsChoice {
        All = "all",
        Services = "services",
        Kernel = "kernel",
    }
}

words! {
    /// Whose names the facilities of the kernel's records have.
    pub enum FacilityChoice {
        Linux = "linux",
        Talos = "talos",
    }
}

words! {
    /// How the clients of memlogd's query socket get records.
    pub enum EntryChoice {
        Json = "json",
        Text = "text",
    }
}

words! {
    /// Whether datagrams go through the kernel together.
    pub enum SegmentChoice {
        Off = "off",
        Pad = "pad",
    }
}

words! {
    /// What a line that comes in is taken for.
    pub enum ParseChoice {
        Auto = "auto",
        Detect = "detect",
        Talos = "talos",
        Logfmt = "logfmt",
        Klog = "klog",
        Kata = "kata",
        Regex = "regex",
        Syslog = "syslog",
        TalosSyslog = "talos_syslog",
        JournalExport = "journal_export",
        Text = "text",
    }
}

words! {
    /// Where the output of containers comes from.
    pub enum CaptureFrom {
        Auto = "auto",
        Ebpf = "ebpf",
        File = "file",
    }
}

words! {
    /// What a captured line is taken for.
    pub enum CaptureParse {
        Detect = "detect",
        Talos = "talos",
        Logfmt = "logfmt",
        Klog = "klog",
        Kata = "kata",
        Regex = "regex",
        Text = "text",
    }
}

words! {
    /// Whose stack traces are joined.
    pub enum TraceChoice {
        All = "all",
        Go = "go",
        Java = "java",
        Python = "python",
        Rust = "rust",
        Dotnet = "dotnet",
        Ruby = "ruby",
        Javascript = "javascript",
    }
}

words! {
    /// Where a line that is too long is cut.
    pub enum CutChoice {
        Characters = "characters",
        Bytes = "bytes",
    }
}

words! {
    /// How the lines of a file are written.
    pub enum FileFormat {
        Auto = "auto",
        Text = "text",
        Cri = "cri",
        Docker = "docker",
    }
}

words! {
    /// What the fields of the journal are called in records.
    pub enum JournalNames {
        Short = "short",
        Journal = "journal",
    }
}

words! {
    /// Where reading a file begins that Ringward has not read before.
    pub enum ReadFrom {
        Beginning = "beginning",
        End = "end",
    }
}
