//! Who calls: access tokens from Maskinporten and the keys that prove them.
