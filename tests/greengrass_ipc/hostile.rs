//! Bytes that no nucleus should send.

use crate::server::*;
use bytes::BufMut;
use printgate::cloud::greengrass::ReportedState;
use printgate::cloud::greengrass::frame::{Frame, FrameError, FrameReader, MIN_FRAME_LEN};
use proptest::prelude::*;

/// A small deterministic generator; a failing case is found again by its number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Changes a few bytes; for two cases out of three the checksums are made right again, so that the change gets deeper.
fn mutate(random: &mut Random, frame: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(frame.len());
        match random.below(5) {
            0 => frame[at] = random.next() as u8,
            1 => frame[at] ^= 1 << random.below(8),
            2 => frame.truncate(at.max(MIN_FRAME_LEN)),
            3 => frame.insert(at, random.next() as u8),
            _ => frame[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
        }
    }
    if frame.len() >= MIN_FRAME_LEN && random.below(3) > 0 {
        if random.below(4) > 0 {
            let total = frame.len() as u32;
            frame[..4].copy_from_slice(&total.to_be_bytes());
        }
        let prelude = crc32(&frame[..8]);
        frame[8..12].copy_from_slice(&prelude.to_be_bytes());
        let end = frame.len() - 4;
        let whole = crc32(&frame[..end]);
        frame[end..].copy_from_slice(&whole.to_be_bytes());
    }
}

fn seeds(stream: i32) -> Vec<Vec<u8>> {
    vec![
        answer(MESSAGE, 0, stream, "aws.greengrass#IoTCoreMessage", &mqtt_payload("t/1", b"hello")),
        answer(MESSAGE, TERMINATE, stream + 1, "aws.greengrass#UpdateStateResponse", "{}"),
        answer(ERROR, TERMINATE, stream + 1, "aws.greengrass#ServiceError", r#"{"_message":"m","_errorCode":"e"}"#),
        answer(MESSAGE, 0, stream, "aws.greengrass#ConfigurationUpdateEvents", r#"{"configurationUpdateEvent":{}}"#),
        frame(PING, 0, 0, vec![], "ping"),
        frame(CONNECT_ACK, ACCEPTED, 0, vec![text("svcuid", "T2")], ""),
    ]
}

#[test]
fn twenty_thousand_mutated_frames_never_panic_the_reader() {
    let mut random = Random(1);
    let (mut frames, mut errors) = (0, 0);
    for case in 0..20_000 {
        let seeds = seeds(1);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate(&mut random, &mut bytes);
        let mut reader = FrameReader::new(100_000);
        reader.buffer().put_slice(&bytes);
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => {
                    let _ = (frame.text("service-model-type"), frame.terminates());
                    frames += 1;
                }
                Ok(None) => break,
                Err(_) => {
                    errors += 1;
                    break;
                }
            }
        }
        assert!(reader.buffer().len() <= bytes.len(), "case {case}");
    }
    // The mutations reach both sides of the door.
    assert!(frames > 2_000 && errors > 2_000, "{frames} frames, {errors} errors");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_mutated_frames_never_panic_a_connection() {
    let server = Server::start();
    let mut random = Random(2);
    let mut survived = 0;
    for case in 0..5_000 {
        let (client, mut peer, _) = server.connect(limits()).await;
        let (subscription, stream) = tokio::join!(client.subscribe_to_iot_core("t/#"), async {
            let request = peer.expect("SubscribeToIoTCore").await;
            peer.subscribed(&request).await;
            request.stream
        });
        let mut subscription = subscription.unwrap();
        let seeds = seeds(stream);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate(&mut random, &mut bytes);
        let (answer, ()) = tokio::join!(client.update_state(ReportedState::Running), async {
            peer.expect("UpdateState").await;
            peer.send(&bytes).await;
            drop(peer);
        });
        survived += usize::from(answer.is_ok());
        // An owner that panicked could not say why it ended.
        let reason = within("the end", client.ended()).await;
        assert!(!reason.contains("owner task is gone"), "case {case}");
        // Everybody who waits hears of the end.
        while let Ok(event) = within("the end of the subscription", subscription.recv()).await {
            let _ = printgate::cloud::greengrass::operations::iot_core_message(&event);
            let _ = printgate::cloud::greengrass::operations::configuration_update(&event);
        }
    }
    assert!(survived > 0);
}

#[tokio::test]
async fn frames_that_come_byte_by_byte_are_read() {
    let server = Server::start();
    let (client, mut peer, _) = server.connect(limits()).await;
    let (answer, ()) = tokio::join!(client.get_configuration(None, &[]), async {
        let request = peer.expect("GetConfiguration").await;
        let mut bytes = frame(PING, 0, 0, vec![], "");
        bytes.extend(answer(MESSAGE, TERMINATE, request.stream, "", r#"{"value":{"a":[1,2]}}"#));
        for byte in bytes {
            peer.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(answer.unwrap(), serde_json::json!({ "a": [1, 2] }));
}

#[test]
fn a_wrong_length_is_found_before_its_bytes_are_waited_for() {
    let good = frame(PING, 0, 0, vec![], "ping");
    let read = |bytes: &[u8]| {
        let mut reader = FrameReader::new(1000);
        reader.buffer().put_slice(bytes);
        reader.next_frame()
    };
    assert!(read(&good).unwrap().is_some());
    assert_eq!(read(&good[..11]).unwrap(), None);
    let mut length = good[..12].to_vec();
    length[3] ^= 1;
    assert!(matches!(read(&length), Err(FrameError::Malformed(_))));
    for total in [0u32, 1, 15, 1001, u32::MAX] {
        let mut prelude = total.to_be_bytes().to_vec();
        prelude.extend([0; 4]);
        let crc = crc32(&prelude);
        prelude.extend(crc.to_be_bytes());
        assert!(read(&prelude).is_err(), "{total}");
    }
}

proptest! {
    /// However a stream of frames is cut into reads, the same frames come out.
    #[test]
    fn any_cutting_of_the_stream_gives_the_same_frames(
        frames in prop::collection::vec((0i32..8, 0i32..4, 0i32..100, prop::collection::vec(any::<u8>(), 0..300)), 1..8),
        cuts in prop::collection::vec(1usize..200, 1..40),
    ) {
        let frames: Vec<Frame> = frames
            .into_iter()
            .map(|(kind, flags, stream, payload)| Frame::new(kind, flags, stream, payload))
            .collect();
        let stream: Vec<u8> = frames.iter().flat_map(|f| f.encode().unwrap()).collect();
        let mut reader = FrameReader::new(10_000);
        let mut read = Vec::new();
        let (mut rest, mut cuts) = (stream.as_slice(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            reader.buffer().put_slice(now);
            rest = later;
            while let Some(frame) = reader.next_frame().unwrap() {
                read.push((frame.message_type, frame.flags, frame.stream_id, frame.payload));
            }
        }
        prop_assert!(!reader.is_mid_frame());
        let expected: Vec<_> =
            frames.into_iter().map(|f| (f.message_type, f.flags, f.stream_id, f.payload)).collect();
        prop_assert_eq!(read, expected);
    }
}
