//! One append-only log on disk: segments, hash chain, keyed heads, grouped flushes.
