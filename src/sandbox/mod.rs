//! A stand-in for the outside world, for trials and tests only.
