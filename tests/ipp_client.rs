//! The IPP client against printers that behave and printers that do not. The servers here speak raw TCP, so that they can
//! do what no HTTP library would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test, what cannot be is a failure")]

use printgate::ipp::client::{Client, Document, Error, Progress, Refusal, Status, Step, Target, Timeouts};
use printgate::ipp::codec::{Attribute, Group, GroupTag, Limits, Message, Value, Version, encode, parse};
use printgate::ipp::request::{JobRequest, Operation, Request};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

// ---- well-behaved printers

#[tokio::test]
async fn a_call_is_one_small_http_post_with_its_length() {
    let server = Server::start(|mut stream, log| async move {
        while let Some(request) = read_request(&mut stream).await {
            log.push(&request);
            respond(&mut stream, &answer(0)).await;
        }
    })
    .await;
    let client = server.client(quick());
    for _ in 0..3 {
        let response = client.call(get_attributes()).await.unwrap();
        assert!(response.is_success());
        assert_eq!(response.printer().unwrap().get("printer-state").unwrap().int(), Some(3));
    }
    let requests = server.log.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(server.log.connections(), 1, "the connection is kept");
    let head = &requests[0].head;
    assert!(head.starts_with("POST /ipp/print HTTP/1.1\r\n"), "{head}");
    for line in [
        format!("\r\nHost: printer.local:{}\r\n", server.address.port()),
        format!("\r\nContent-Length: {}\r\n", requests[0].body.len()),
        "\r\nContent-Type: application/ipp\r\n".to_owned(),
    ] {
        assert!(head.contains(&line), "{line:?} in {head}");
    }
    let message = parse(&requests[0].body, &Limits::DEFAULT).unwrap().message;
    assert_eq!(message.version, Version::V2_0);
    assert_eq!(message.groups[0].get("printer-uri").unwrap().text(), Some(client.target().uri.as_str()));
    let ids: Vec<_> = requests.iter().map(|r| parse(&r.body, &Limits::DEFAULT).unwrap().message.request_id).collect();
    assert_eq!(ids, [2, 3, 4]);
}

#[tokio::test]
async fn a_document_arrives_whole_with_its_length_and_in_constant_memory() {
    const SIZE: u64 = 100 * 1024 * 1024;
    let received = Arc::new(AtomicU64::new(0));
    let wrong = Arc::new(AtomicU64::new(0));
    let (count, bad) = (Arc::clone(&received), Arc::clone(&wrong));
    let server = Server::start(move |mut stream, log| {
        let (count, bad) = (Arc::clone(&count), Arc::clone(&bad));
        async move {
            let Some((head, rest)) = read_head(&mut stream).await else { return };
            let length = content_length(&head).unwrap();
            let (header, mut document) = split_ipp(rest, &mut stream).await;
            log.push(&HttpRequest { head, body: header.clone() });
            let mut left = length - header.len() - document.len();
            check_pattern(&document, &count, &bad);
            document.resize(256 * 1024, 0);
            while left > 0 {
                let want = left.min(document.len());
                let read = stream.read(&mut document[..want]).await.unwrap();
                if read == 0 {
                    return;
                }
                check_pattern(&document[..read], &count, &bad);
                left -= read;
            }
            respond(&mut stream, &answer(0)).await;
        }
    })
    .await;
    let before = peak_memory();
    let sent = Arc::new(AtomicU64::new(0));
    let document = Document::new(Pattern { at: 0, len: SIZE }, SIZE);
    let response = server.client(quick()).call_with_document(print_job(), document, Arc::clone(&sent)).await.unwrap();
    assert!(response.is_success());
    assert_eq!(received.load(Ordering::SeqCst), SIZE);
    assert_eq!(wrong.load(Ordering::SeqCst), 0);
    assert_eq!(sent.load(Ordering::SeqCst), SIZE);
    let grown = peak_memory().saturating_sub(before);
    println!("{SIZE} octets sent, peak memory grew by {grown} KB");
    assert!(grown < 16 * 1024, "{grown} KB");
    let request = &server.log.requests()[0];
    assert!(!request.head.to_ascii_lowercase().contains("chunked"));
    assert_eq!(content_length(&request.head), Some(request.body.len() + SIZE as usize));
}

#[tokio::test]
async fn an_old_printer_is_spoken_to_in_1_1_from_then_on() {
    for refusal in [0x0503, 0x0400] {
        let server = Server::start(move |mut stream, log| async move {
            while let Some(request) = read_request(&mut stream).await {
                let old = request.body[..2] == [1, 1];
                log.push(&request);
                respond(&mut stream, &answer(if old { 0 } else { refusal })).await;
            }
        })
        .await;
        let client = server.client(quick());
        for _ in 0..2 {
            assert!(client.call(get_attributes()).await.unwrap().is_success());
        }
        let versions: Vec<_> = server.log.requests().iter().map(|request| request.body[0]).collect();
        assert_eq!(versions, [2, 1, 1]);
        assert_eq!(client.version(), Version::V1_1);
    }
}

#[tokio::test]
async fn a_real_bad_request_costs_one_second_try_in_a_clients_life() {
    let server = Server::answering(0x0400).await;
    let client = server.client(quick());
    for _ in 0..3 {
        assert_eq!(client.call(get_attributes()).await.unwrap().status(), Status::BAD_REQUEST);
    }
    let versions: Vec<_> = server.log.requests().iter().map(|request| request.body[0]).collect();
    assert_eq!(versions, [2, 1, 2, 2]);
    assert_eq!(client.version(), Version::V2_0);
}

#[tokio::test]
async fn old_ways_of_http_are_understood() {
    for head in [
        // No length: the answer ends with the connection.
        "HTTP/1.0 200 OK\r\nServer: old\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n",
    ] {
        let server = Server::start(move |mut stream, log| async move {
            if let Some(request) = read_request(&mut stream).await {
                log.push(&request);
                let _ = stream.write_all(&[head.as_bytes(), &answer(0)].concat()).await;
            }
        })
        .await;
        let client = server.client(quick());
        for _ in 0..2 {
            assert!(client.call(get_attributes()).await.unwrap().is_success(), "{head:?}");
        }
        let document = Document::new(Pattern { at: 0, len: 300_000 }, 300_000);
        assert!(
            client.call_with_document(print_job(), document, Arc::default()).await.unwrap().is_success(),
            "{head:?}"
        );
        assert_eq!(server.log.requests().len(), 3);
    }
}

// ---- kept connections

#[tokio::test]
async fn a_kept_connection_that_turns_out_closed_is_replaced_once() {
    // Each connection answers one request and then hangs up: at once, or on the next request.
    for read_next in [false, true] {
        let server = Server::start(move |mut stream, log| async move {
            if let Some(request) = read_request(&mut stream).await {
                log.push(&request);
                respond(&mut stream, &answer(0)).await;
            }
            if read_next {
                let _ = read_request(&mut stream).await;
            }
        })
        .await;
        let client = server.client(quick());
        for _ in 0..3 {
            assert!(client.call(get_attributes()).await.unwrap().is_success());
        }
        assert_eq!(server.log.connections(), 3);
    }
}

#[tokio::test]
async fn a_kept_connection_is_closed_when_nobody_uses_it() {
    let server = Server::answering(0).await;
    let client = server.client(Timeouts { keep_idle: Duration::from_millis(100), ..quick() });
    assert!(client.call(get_attributes()).await.unwrap().is_success());
    server.log.all_ended().await;
    assert!(client.call(get_attributes()).await.unwrap().is_success());
    assert_eq!(server.log.connections(), 2);
    // And with its client.
    drop(client);
    server.log.all_ended().await;
}

#[tokio::test]
async fn a_printer_that_always_hangs_up_is_asked_twice_at_most() {
    let server = Server::start(|mut stream, log| async move {
        let first = log.connections() == 1;
        while let Some(request) = read_request(&mut stream).await {
            log.push(&request);
            if !first || log.requests().len() > 1 {
                return;
            }
            respond(&mut stream, &answer(0)).await;
        }
    })
    .await;
    let client = server.client(quick());
    assert!(client.call(get_attributes()).await.is_ok());
    let error = client.call(get_attributes()).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error}");
    assert_eq!(error.progress(), Progress::RequestWritten);
    assert_eq!((server.log.requests().len(), server.log.connections()), (3, 2));
}

#[tokio::test]
async fn what_makes_a_job_is_never_sent_again_and_never_over_a_kept_connection() {
    let server = Server::start(|mut stream, log| async move {
        while let Some(request) = read_request(&mut stream).await {
            log.push(&request);
            let operation = u16::from_be_bytes([request.body[2], request.body[3]]);
            if Operation(operation) == Operation::CREATE_JOB {
                return;
            }
            respond(&mut stream, &answer(0)).await;
        }
    })
    .await;
    let client = server.client(quick());
    client.call(get_attributes()).await.unwrap();
    let error = client.call(Request::create_job(JobRequest::default())).await.unwrap_err();
    assert!(matches!(error, Error::Lost { progress: Progress::RequestWritten, .. }), "{error}");
    assert_eq!((server.log.requests().len(), server.log.connections()), (2, 2));
}

#[tokio::test]
async fn many_calls_at_once_take_turns_three_by_three() {
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&most));
    let server = Server::start(move |mut stream, _| {
        let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
        async move {
            while read_request(&mut stream).await.is_some() {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                respond(&mut stream, &answer(0)).await;
            }
        }
    })
    .await;
    let client = Arc::new(server.client(quick()));
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { client.call(get_attributes()).await.unwrap().is_success() })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap());
    }
    assert!(most.load(Ordering::SeqCst) <= 3, "{} at once", most.load(Ordering::SeqCst));
}

// ---- deadlines and limits

#[tokio::test]
async fn a_printer_that_never_answers_ends_in_its_deadline() {
    let server = Server::start(|mut stream, log| async move {
        if let Some(request) = read_request(&mut stream).await {
            log.push(&request);
        }
        log.until_dropped(&mut stream).await;
    })
    .await;
    let limits = Timeouts { answer: Duration::from_millis(200), ..quick() };
    let error = server.client(limits).call(get_attributes()).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { step: Step::Answer, progress: Progress::RequestWritten, .. }), "{error}");
    let limits = Timeouts { call: Duration::from_millis(200), ..quick() };
    let error = server.client(limits).call(Request::create_job(JobRequest::default())).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { step: Step::Call, progress: Progress::RequestWritten, .. }), "{error}");
}

#[tokio::test]
async fn one_octet_at_a_time_ends_in_the_calls_deadline() {
    for head_too in [false, true] {
        let server = Server::start(move |mut stream, _| async move {
            let _ = read_request(&mut stream).await;
            let whole = http_response(&answer(0));
            let quickly = if head_too { 0 } else { whole.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4 };
            if stream.write_all(&whole[..quickly]).await.is_err() {
                return;
            }
            for octet in &whole[quickly..] {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if stream.write_all(&[*octet]).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let limits = Timeouts { call: Duration::from_millis(600), ..quick() };
        let started = Instant::now();
        let error = server.client(limits).call(get_attributes()).await.unwrap_err();
        assert!(error.is_deadline(), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_ends_in_its_deadline() {
    let server = Server::start(|mut stream, log| async move {
        let _ = read_request(&mut stream).await;
        let whole = http_response(&answer(0));
        let _ = stream.write_all(&whole[..whole.len() - 5]).await;
        log.until_dropped(&mut stream).await;
    })
    .await;
    let limits = Timeouts { body_idle: Duration::from_millis(200), ..quick() };
    let error = server.client(limits).call(get_attributes()).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { step: Step::Body, .. }), "{error}");
}

#[tokio::test]
async fn a_hundred_megabytes_of_values_end_early_and_small() {
    const SIZE: usize = 100 * 1024 * 1024;
    for chunked in [false, true] {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let server = Server::start(move |mut stream, _| {
            let count = Arc::clone(&count);
            async move {
                let _ = read_request(&mut stream).await;
                let kind =
                    if chunked { "Transfer-Encoding: chunked".into() } else { format!("Content-Length: {SIZE}") };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\n{kind}\r\n\r\n");
                if stream.write_all(head.as_bytes()).await.is_err() {
                    return;
                }
                let mut values = vec![2, 0, 0, 0, 0, 0, 0, 1, 4, 0x44, 0, 1, b'a', 0, 0];
                values.resize(0x10000, 0x44);
                let piece = if chunked { [b"10000\r\n", &values[..], b"\r\n"].concat() } else { values };
                while count.load(Ordering::SeqCst) < SIZE {
                    if stream.write_all(&piece).await.is_err() {
                        return;
                    }
                    count.fetch_add(piece.len(), Ordering::SeqCst);
                }
            }
        })
        .await;
        let before = peak_memory();
        let error = server.client(quick()).call(get_attributes()).await.unwrap_err();
        assert!(matches!(&error, Error::Answer { reason, .. } if reason.contains("larger")), "{error}");
        assert_eq!(error.progress(), Progress::Answered);
        let grown = peak_memory().saturating_sub(before);
        println!("{} octets were written, peak memory grew by {grown} KB", written.load(Ordering::SeqCst));
        assert!(grown < 32 * 1024, "{grown} KB");
        assert!(written.load(Ordering::SeqCst) < SIZE / 2);
    }
}

#[tokio::test]
async fn a_nested_answer_of_320_kb_is_read_as_far_as_it_goes() {
    let server = Server::start(|mut stream, _| async move {
        let _ = read_request(&mut stream).await;
        let mut octets = answer(0);
        octets.pop();
        octets.extend([0x34, 0, 1, b'x', 0, 0]);
        while octets.len() < 320 * 1024 {
            octets.extend([0x4A, 0, 0, 0, 1, b'a', 0x34, 0, 0, 0, 0]);
        }
        respond(&mut stream, &octets).await;
    })
    .await;
    let response = server.client(quick()).call(get_attributes()).await.unwrap();
    assert!(!response.warnings.is_empty());
    assert_eq!(response.printer().unwrap().get("printer-state").unwrap().int(), Some(3));
}

// ---- answers that are none

#[tokio::test]
async fn garbage_is_an_answer_nobody_can_read() {
    let html = "<html>Not here</html>";
    let endless_head = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", "X-A: b\r\n".repeat(200_000));
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        "\0\0\0\0\0\0\0\0\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{html}", html.len()),
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        endless_head,
    ] {
        let shown: String = garbage.chars().take(40).collect();
        let server = Server::start(move |mut stream, _| {
            let garbage = garbage.clone();
            async move {
                let _ = read_request(&mut stream).await;
                let _ = stream.write_all(garbage.as_bytes()).await;
            }
        })
        .await;
        let error = server.client(quick()).call(get_attributes()).await.unwrap_err();
        assert!(matches!(error, Error::Answer { .. }), "{shown:?}: {error}");
        assert_eq!(error.progress(), Progress::Answered);
    }
}

#[tokio::test]
async fn http_refusals_are_told_apart() {
    for (status, expected) in [
        (401, Refusal::Credentials),
        (403, Refusal::Forbidden),
        (404, Refusal::Path),
        (426, Refusal::UpgradeToTls),
        (302, Refusal::Redirect { location: Some("https://printer/".into()) }),
        (503, Refusal::Unavailable),
        (418, Refusal::Other),
    ] {
        let server = Server::start(move |mut stream, _| async move {
            let _ = read_request(&mut stream).await;
            let text = format!("HTTP/1.1 {status} X\r\nLocation: https://printer/\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(text.as_bytes()).await;
        })
        .await;
        match server.client(quick()).call(get_attributes()).await {
            Err(Error::Http { status: got, refusal, .. }) => assert_eq!((got, refusal), (status, expected)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_closed_port_was_never_connected_and_a_print_port_never_will_be() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client_of(address, quick()).call(get_attributes()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert_eq!(error.progress(), Progress::NotConnected);

    // One good address among them changes nothing.
    let server = Server::answering(0).await;
    for port in [515, 9100, 9109, 9999] {
        let mut target = target_of(server.address);
        target.addresses.push(SocketAddr::new(server.address.ip(), port));
        let error = Client::new(target, quick()).call(get_attributes()).await.unwrap_err();
        assert!(matches!(error, Error::PrintPort { .. }), "{error}");
        assert!(error.nothing_written());
    }
    assert_eq!(server.log.connections(), 0);
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_refuses() {
    let server = Server::answering(0).await;
    let mut target = target_of(server.address);
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    target.addresses.insert(0, refusing);
    assert!(Client::new(target, quick()).call(get_attributes()).await.is_ok());
}

// ---- documents

#[tokio::test]
async fn a_connection_dropped_after_any_octet_leaves_sent_on_the_safe_side() {
    const SIZE: u64 = 3 * 1024 * 1024;
    for drop_after in [0_usize, 1, 100, 400, 700, 5_000, 100_000, 1_000_000, 3_000_000] {
        let got = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&got);
        let server = Server::start(move |mut stream, _| {
            let count = Arc::clone(&count);
            async move {
                let mut piece = vec![0; 64 * 1024];
                let mut all: Vec<u8> = Vec::new();
                while all.len() < drop_after {
                    let want = (drop_after - all.len()).min(piece.len());
                    match stream.read(&mut piece[..want]).await {
                        Ok(0) | Err(_) => break,
                        Ok(read) => all.extend(&piece[..read]),
                    }
                }
                count.store(document_octets(&all), Ordering::SeqCst);
            }
        })
        .await;
        let sent = Arc::new(AtomicU64::new(0));
        let document = Document::new(Pattern { at: 0, len: SIZE }, SIZE);
        let outcome = server.client(quick()).call_with_document(print_job(), document, Arc::clone(&sent)).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{drop_after}: {error}");
        assert_eq!(error.progress(), Progress::RequestWritten);
        server.log.all_ended().await;
        let (sent, got) = (sent.load(Ordering::SeqCst), got.load(Ordering::SeqCst) as u64);
        assert!(sent >= got, "{drop_after}: the printer got {got}, we counted {sent}");
        assert!(sent <= SIZE);
    }
}

#[tokio::test]
async fn nothing_is_sent_where_nobody_is() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let document = Document::new(Pattern { at: 0, len: 1000 }, 1000);
    let outcome = client_of(address, quick()).call_with_document(print_job(), document, Arc::clone(&sent)).await;
    assert!(outcome.unwrap_err().nothing_written());
    assert_eq!(sent.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_document_is_returned() {
    // It answers after a part of the document; then it closes with octets unread, so that our next write fails.
    for (close, status) in [(true, 0x0506), (false, 0x040A)] {
        let server = Server::start(move |mut stream, log| async move {
            let mut part = vec![0; 100_000];
            if stream.read_exact(&mut part).await.is_err() {
                return;
            }
            respond(&mut stream, &answer(status)).await;
            if !close {
                log.until_dropped(&mut stream).await;
            }
        })
        .await;
        let sent = Arc::new(AtomicU64::new(0));
        let document = Document::new(Pattern { at: 0, len: 1 << 30 }, 1 << 30);
        let outcome = server.client(quick()).call_with_document(print_job(), document, Arc::clone(&sent)).await;
        assert_eq!(outcome.unwrap().status(), Status(status));
        assert!(sent.load(Ordering::SeqCst) >= 90_000);
    }
}

#[tokio::test]
async fn an_early_success_counts_only_with_the_whole_document() {
    const SIZE: u64 = 20 * 1024 * 1024;
    for reads_on in [true, false] {
        let total = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&total);
        let server = Server::start(move |mut stream, _| {
            let count = Arc::clone(&count);
            async move {
                let Some((head, rest)) = read_head(&mut stream).await else { return };
                let length = content_length(&head).unwrap();
                respond(&mut stream, &answer(0)).await;
                let mut got = rest.len();
                let mut piece = vec![0; 64 * 1024];
                while reads_on && got < length {
                    match stream.read(&mut piece).await {
                        Ok(0) | Err(_) => break,
                        Ok(read) => got += read,
                    }
                }
                count.store(length - got, Ordering::SeqCst);
            }
        })
        .await;
        let sent = Arc::new(AtomicU64::new(0));
        let document = Document::new(Pattern { at: 0, len: SIZE }, SIZE);
        let outcome = server.client(quick()).call_with_document(print_job(), document, Arc::clone(&sent)).await;
        if reads_on {
            assert!(outcome.unwrap().is_success());
            server.log.all_ended().await;
            assert_eq!(total.load(Ordering::SeqCst), 0, "octets that never came");
        } else {
            let error = outcome.unwrap_err();
            assert!(matches!(error, Error::Lost { progress: Progress::RequestWritten, .. }), "{error}");
        }
    }
}

#[tokio::test]
async fn a_printer_that_takes_nothing_or_says_nothing_ends_in_its_limit() {
    // Reads nothing at all: the sockets' buffers fill, then nothing moves.
    let server = Server::start(|mut stream, log| async move {
        let _ = stream.read(&mut [0; 1]).await;
        log.until_told().await;
    })
    .await;
    let limits = Timeouts { write_idle: Duration::from_millis(300), ..quick() };
    let sent = Arc::new(AtomicU64::new(0));
    let document = Document::new(Pattern { at: 0, len: 1 << 30 }, 1 << 30);
    let error = server.client(limits).call_with_document(print_job(), document, Arc::clone(&sent)).await.unwrap_err();
    assert!(
        matches!(error, Error::Deadline { step: Step::Document, progress: Progress::RequestWritten, .. }),
        "{error}"
    );
    assert!(sent.load(Ordering::SeqCst) > 0);
    server.log.tell();

    // Takes all of it and says nothing: the answer's limit holds from then on, not the one for writing.
    let server = Server::start(|mut stream, log| async move {
        let _ = read_request(&mut stream).await;
        log.until_dropped(&mut stream).await;
    })
    .await;
    let limits = Timeouts { document_answer: Duration::from_millis(300), ..quick() };
    let document = Document::new(Pattern { at: 0, len: 1000 }, 1000);
    let started = Instant::now();
    let error = server.client(limits).call_with_document(print_job(), document, sent).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { step: Step::Answer, .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_slow_printer_gets_its_whole_document() {
    // Each pause is shorter than the limit, all of them together are much longer.
    let server = Server::start(|mut stream, _| async move {
        let Some((head, rest)) = read_head(&mut stream).await else { return };
        let mut left = content_length(&head).unwrap() - rest.len();
        let mut piece = vec![0; 1 << 20];
        while left > 0 {
            let want = left.min(piece.len());
            stream.read_exact(&mut piece[..want]).await.unwrap();
            left -= want;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        respond(&mut stream, &answer(0)).await;
    })
    .await;
    let limits = Timeouts { write_idle: Duration::from_millis(1500), answer: Duration::from_millis(100), ..quick() };
    let size = 30 << 20;
    let document = Document::new(Pattern { at: 0, len: size }, size);
    let started = Instant::now();
    let response = server.client(limits).call_with_document(print_job(), document, Arc::default()).await.unwrap();
    assert!(response.is_success());
    assert!(started.elapsed() > Duration::from_millis(1500));
}

#[tokio::test]
async fn a_document_that_breaks_off_on_our_side_is_our_error() {
    let server = Server::start(|mut stream, _| async move {
        let _ = read_request(&mut stream).await;
    })
    .await;
    let short = Document::new(Pattern { at: 0, len: 1000 }, 200_000);
    let error = server.client(quick()).call_with_document(print_job(), short, Arc::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Document { source, .. } if source.kind() == std::io::ErrorKind::UnexpectedEof));
    let error = server
        .client(quick())
        .call_with_document(print_job(), Document::new(Broken, 10), Arc::default())
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Document { source, .. } if source.to_string().contains("disk")), "{error}");
}

#[tokio::test]
async fn an_empty_document_closes_a_job() {
    let server = Server::start(|mut stream, log| async move {
        if let Some(request) = read_request(&mut stream).await {
            log.push(&request);
            respond(&mut stream, &answer(0)).await;
        }
    })
    .await;
    let request = Request::send_document(7, "alice", "x", None, true);
    let response =
        server.client(quick()).call_with_document(request, Document::new(tokio::io::empty(), 0), Arc::default()).await;
    assert!(response.unwrap().is_success());
    let body = &server.log.requests()[0].body;
    assert_eq!(parse(body, &Limits::DEFAULT).unwrap().consumed, body.len());
}

// ---- TLS

#[cfg(feature = "lab")]
mod tls {
    use super::*;
    use printgate::ipp::client::Fingerprint;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    fn acceptor() -> (TlsAcceptor, Fingerprint) {
        let signed = rcgen::generate_simple_self_signed(vec!["some-other-name".to_owned()]).unwrap();
        let fingerprint = Fingerprint::of(signed.cert.der());
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        (Arc::new(config).into(), fingerprint)
    }

    /// A printer that shows its certificates in turn, one a connection, the last one from then on.
    async fn server(acceptors: Vec<TlsAcceptor>) -> Server {
        let turn = Arc::new(AtomicUsize::new(0));
        Server::start(move |stream, log| {
            let at = turn.fetch_add(1, Ordering::SeqCst).min(acceptors.len() - 1);
            let acceptor = acceptors[at].clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                while let Some(request) = read_request(&mut stream).await {
                    log.push(&request);
                    respond(&mut stream, &answer(0)).await;
                }
            }
        })
        .await
    }

    fn client(server: &Server, pin: Option<Fingerprint>) -> Client {
        Client::new(Target { tls: true, pin, ..target_of(server.address) }, quick())
    }

    #[tokio::test]
    async fn a_self_signed_certificate_is_taken_and_reported() {
        let (acceptor, fingerprint) = acceptor();
        let server = server(vec![acceptor]).await;
        let first = client(&server, None);
        assert_eq!(first.fingerprint_seen(), None);
        assert!(first.call(get_attributes()).await.unwrap().is_success());
        assert_eq!(first.fingerprint_seen(), Some(fingerprint));
        assert!(client(&server, Some(fingerprint)).call(get_attributes()).await.unwrap().is_success());
        // A document too, over its own connection.
        let sent = Arc::new(AtomicU64::new(0));
        let document = Document::new(Pattern { at: 0, len: 3_000_000 }, 3_000_000);
        let response = first.call_with_document(print_job(), document, Arc::clone(&sent)).await.unwrap();
        assert!(response.is_success());
        assert_eq!(sent.load(Ordering::SeqCst), 3_000_000);
    }

    #[tokio::test]
    async fn another_certificate_than_the_pinned_is_an_error_before_anything_is_written() {
        let (acceptor, fingerprint) = acceptor();
        let server = server(vec![acceptor]).await;
        let pinned = Fingerprint([7; 32]);
        let sent = Arc::new(AtomicU64::new(0));
        let document = Document::new(Pattern { at: 0, len: 1000 }, 1000);
        let client = client(&server, Some(pinned));
        match client.call_with_document(print_job(), document, Arc::clone(&sent)).await {
            Err(error @ Error::CertificateChanged { expected, seen, .. }) => {
                assert_eq!((expected, seen), (pinned, fingerprint));
                assert!(error.nothing_written());
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(sent.load(Ordering::SeqCst), 0);
        assert_eq!(client.fingerprint_seen(), None);
        server.log.all_ended().await;
        assert!(server.log.requests().is_empty());
    }

    #[tokio::test]
    async fn a_certificate_that_changes_under_a_client_is_noticed() {
        let ((first, fingerprint), (second, other)) = (acceptor(), acceptor());
        let server = server(vec![first, second]).await;
        let client = client(&server, None);
        assert!(client.call(get_attributes()).await.is_ok());
        // Not idempotent, hence a fresh connection.
        match client.call(Request::create_job(JobRequest::default())).await {
            Err(Error::CertificateChanged { expected, seen, .. }) => assert_eq!((expected, seen), (fingerprint, other)),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_no_tls_fails_before_anything_is_written() {
        let plain = Server::start(|mut stream, _| async move {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        })
        .await;
        let error = client(&plain, None).call(get_attributes()).await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error}");
        assert!(error.nothing_written());

        let silent = Server::start(|mut stream, log| async move { log.until_dropped(&mut stream).await }).await;
        let limits = Timeouts { tls: Duration::from_millis(200), ..quick() };
        let target = Target { tls: true, ..target_of(silent.address) };
        let error = Client::new(target, limits).call(get_attributes()).await.unwrap_err();
        assert!(matches!(error, Error::Deadline { step: Step::Tls, progress: Progress::Connected, .. }), "{error}");
    }
}

// ---- the servers

/// Limits that a healthy loopback never meets and a test can wait for.
fn quick() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(5),
        tls: Duration::from_secs(5),
        answer: Duration::from_secs(10),
        body_idle: Duration::from_secs(10),
        call: Duration::from_secs(20),
        write_idle: Duration::from_secs(10),
        document_answer: Duration::from_secs(20),
        document: Some(Duration::from_secs(60)),
        keep_idle: Duration::from_secs(25),
        max_answer: 1024 * 1024,
    }
}

fn target_of(address: SocketAddr) -> Target {
    Target {
        uri: format!("ipp://printer.local:{}/ipp/print", address.port()),
        addresses: vec![address],
        host: "printer.local".to_owned(),
        port: address.port(),
        tls: false,
        path: "/ipp/print".to_owned(),
        pin: None,
    }
}

fn client_of(address: SocketAddr, limits: Timeouts) -> Client {
    Client::new(target_of(address), limits)
}

fn get_attributes() -> Request {
    Request::get_printer_attributes(&["printer-state"], None)
}

fn print_job() -> Request {
    Request::print_job(JobRequest { user: "alice".into(), name: "pgabcdef.1 x".into(), ..JobRequest::default() })
}

/// An IPP answer with a printer group.
fn answer(status: u16) -> Vec<u8> {
    let operation = Group::new(
        GroupTag::OPERATION,
        vec![
            Attribute::new("attributes-charset", Value::Charset("utf-8".into())),
            Attribute::new("attributes-natural-language", Value::NaturalLanguage("en".into())),
        ],
    );
    let printer = Group::new(GroupTag::PRINTER, vec![Attribute::new("printer-state", Value::Enum(3))]);
    let message = Message {
        version: Version::V2_0,
        operation_or_status: status,
        request_id: 1,
        groups: vec![operation, printer],
    };
    encode(&message).unwrap()
}

fn http_response(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn respond(stream: &mut (impl AsyncWrite + Unpin), body: &[u8]) {
    let _ = stream.write_all(&http_response(body)).await;
    let _ = stream.flush().await;
}

#[derive(Clone)]
struct HttpRequest {
    head: String,
    body: Vec<u8>,
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut octets = Vec::new();
    loop {
        if let Some(end) = octets.windows(4).position(|w| w == b"\r\n\r\n") {
            let rest = octets.split_off(end + 4);
            return Some((String::from_utf8(octets).unwrap(), rest));
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => octets.extend(&piece[..read]),
        }
    }
}

fn content_length(head: &str) -> Option<usize> {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-length:"))?;
    line.split_once(':')?.1.trim().parse().ok()
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<HttpRequest> {
    let (head, mut body) = read_head(stream).await?;
    let length = content_length(&head)?;
    let mut piece = vec![0; 64 * 1024];
    while body.len() < length {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => body.extend(&piece[..read]),
        }
    }
    Some(HttpRequest { head, body })
}

/// The IPP header and the beginning of the document behind it.
async fn split_ipp(mut octets: Vec<u8>, stream: &mut TcpStream) -> (Vec<u8>, Vec<u8>) {
    loop {
        if let Ok(parsed) = parse(&octets, &Limits::DEFAULT)
            && parsed.warnings.is_empty()
        {
            let document = octets.split_off(parsed.consumed);
            return (octets, document);
        }
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "the IPP header is cut off");
        octets.extend(&piece[..read]);
    }
}

/// How many octets of the document are in what was read of a request.
fn document_octets(octets: &[u8]) -> usize {
    let Some(end) = octets.windows(4).position(|w| w == b"\r\n\r\n") else { return 0 };
    let body = &octets[end + 4..];
    match parse(body, &Limits { total_bytes: usize::MAX, ..Limits::DEFAULT }) {
        Ok(parsed) if parsed.warnings.is_empty() => body.len() - parsed.consumed,
        _ => 0,
    }
}

/// What a server saw, and how it is told to end.
#[derive(Default)]
struct Log {
    requests: Mutex<Vec<HttpRequest>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
    change: tokio::sync::Notify,
    told: tokio::sync::Notify,
}

impl Log {
    fn push(&self, request: &HttpRequest) {
        self.requests.lock().unwrap().push(request.clone());
    }

    fn requests(&self) -> Vec<HttpRequest> {
        self.requests.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Reads and discards until the client hangs up.
    async fn until_dropped(&self, stream: &mut (impl AsyncRead + Unpin)) {
        let mut piece = vec![0; 64 * 1024];
        while matches!(stream.read(&mut piece).await, Ok(1..)) {}
    }

    async fn until_told(&self) {
        self.told.notified().await;
    }

    fn tell(&self) {
        self.told.notify_one();
    }

    /// Until every connection's handler has returned.
    async fn all_ended(&self) {
        let wait = async {
            loop {
                let change = self.change.notified();
                if self.ended.load(Ordering::SeqCst) == self.connections() {
                    return;
                }
                change.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("the server's connections end");
    }
}

struct Server {
    address: SocketAddr,
    log: Arc<Log>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start<F, W>(handler: F) -> Self
    where
        F: Fn(TcpStream, Arc<Log>) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let shared = Arc::clone(&log);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let work = handler(stream, Arc::clone(&shared));
                let log = Arc::clone(&shared);
                tokio::spawn(async move {
                    work.await;
                    log.ended.fetch_add(1, Ordering::SeqCst);
                    log.change.notify_one();
                });
            }
        });
        Self { address, log, task }
    }

    async fn answering(status: u16) -> Self {
        Self::start(move |mut stream, log| async move {
            while let Some(request) = read_request(&mut stream).await {
                log.push(&request);
                respond(&mut stream, &answer(status)).await;
            }
        })
        .await
    }

    fn client(&self, limits: Timeouts) -> Client {
        client_of(self.address, limits)
    }
}

/// A document whose every octet follows from its place.
struct Pattern {
    at: u64,
    len: u64,
}

/// Octets of the pattern at hand at once.
const PIECE: usize = 256 * 1024;

/// The pattern from this place on, [`PIECE`] octets or more of it.
fn pattern(at: u64) -> &'static [u8] {
    static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| (0..PIECE + 251).map(|at| (at % 251) as u8).collect());
    &TABLE[(at % 251) as usize..]
}

impl AsyncRead for Pattern {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let count = (this.len - this.at).min(buf.remaining() as u64).min(PIECE as u64);
        buf.put_slice(&pattern(this.at)[..count as usize]);
        this.at += count;
        Poll::Ready(Ok(()))
    }
}

fn check_pattern(octets: &[u8], count: &AtomicU64, wrong: &AtomicU64) {
    let from = count.fetch_add(octets.len() as u64, Ordering::SeqCst);
    let mut at = from;
    for piece in octets.chunks(PIECE) {
        wrong.fetch_add(u64::from(piece != &pattern(at)[..piece.len()]), Ordering::SeqCst);
        at += piece.len() as u64;
    }
}

/// A document on a disk that fails.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Err(std::io::Error::other("the disk is gone")))
    }
}

/// The most memory this process held so far, in KB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
