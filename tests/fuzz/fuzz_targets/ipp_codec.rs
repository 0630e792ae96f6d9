//! Any octets: read, decoded, and where they can be written, read back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use printgate::ipp::codec::{Limits, encode, parse};
use printgate::ipp::decode;
use printgate::ipp::response::Response;

fuzz_target!(|octets: &[u8]| {
    let Ok(parsed) = parse(octets, &Limits::DEFAULT) else { return };
    assert!(parsed.consumed <= octets.len());
    let response = Response::from(parsed);
    let _ = (response.status_message(), response.job(), response.jobs(), response.unsupported());
    let _ = decode::observation(&response.message, jiff::Timestamp::UNIX_EPOCH);
    if let Ok(again) = encode(&response.message) {
        assert_eq!(parse(&again, &Limits::DEFAULT).map(|parsed| parsed.message), Ok(response.message));
    }
});
