//! Faults in the middle of an answer are told as what they are.
