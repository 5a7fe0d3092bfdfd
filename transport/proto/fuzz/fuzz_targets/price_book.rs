#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| weft_proto_fuzz::ledger::price_book(input));
