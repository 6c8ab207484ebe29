//! sources.
