//! What the process holds in memory stays there: keys, tokens and identifiers.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids core files, and other processes of the same user to look into this one.
///
/// The limit alone would not do: a system that hands cores to a program (`kernel.core_pattern` with a `|`) ignores it.
pub(super) fn keep_private() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let kept =
        setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(cause) = kept {
        eprintln!("kundeforhold: core files of this process could not be forbidden: {cause}");
    }
}
