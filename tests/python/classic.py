#!/usr/bin/env python3
"""The official AWS IoT client for Python against the stand-in nucleus that plays the classic one.

    classic.py SCENARIO [MQTT_PORT]

As ipc.py. A scenario that needs something done from outside says so with a line on standard output.
"""
import os
import sys

from awsiot.eventstreamrpc import StreamClosedError

from ipc import *


def say(line):
    print(line, flush=True)


def document(answer):
    return json.loads(answer.payload)


def message_of(error, kind, text):
    """Classic says what it has to say in `message`."""
    assert type(error) is kind and error.message is not None and text in error.message, repr(error)


def configuration_keeps_its_types(port):
    ipc = connect()
    answer = ipc.get_configuration(key_path=[])
    poll = answer.value["poll"]
    assert poll == {"seconds": 30, "enabled": True} and type(poll["seconds"]) is int, poll
    assert ipc.get_configuration(key_path=["poll", "enabled"]).value == {"enabled": True}
    message_of(raises(model.ResourceNotFoundError, ipc.get_configuration, key_path=["no"]), model.ResourceNotFoundError, "Key not found")
    # What was not interpolated is handed out as it was deployed.
    assert answer.value["name"] == "{iot:thingName}", answer.value


def configuration_updates_keep_their_order(port):
    ipc = connect()
    events = queue.Queue()
    ipc.subscribe_to_configuration_update(
        key_path=["poll"], on_stream_event=lambda e: events.put(e.configuration_update_event)
    )
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)
    update = lambda at, value: ipc.update_configuration(key_path=["poll"], timestamp=at, value_to_merge=value)
    update(now, {"seconds": 45})
    assert events.get(timeout=DEADLINE).key_path == ["poll", "seconds"]
    seconds = ipc.get_configuration(key_path=["poll", "seconds"]).value["seconds"]
    assert (seconds, type(seconds)) == (45, float), "Gson knows floats only"
    old = raises(
        model.FailedUpdateConditionCheckError,
        ipc.update_configuration,
        key_path=["poll"],
        timestamp=now - datetime.timedelta(days=1),
        value_to_merge={"seconds": 1},
    )
    message_of(old, model.FailedUpdateConditionCheckError, "older than")
    assert ipc.get_configuration(key_path=["poll", "seconds"]).value == {"seconds": 45}
    # The same value is no event; the next one shows that none came. No leaf is too large.
    update(now, {"seconds": 45})
    update(now, {"large": "x" * 20_000})
    assert events.get(timeout=DEADLINE).key_path == ["poll", "large"]
    assert len(ipc.get_configuration(key_path=["poll", "large"]).value["large"]) == 20_000
    # A map takes the place of a value.
    update(now, {"enabled": {"from": "8:00"}})
    assert ipc.get_configuration(key_path=["poll", "enabled"]).value == {"from": "8:00"}
    refused = raises(
        model.InvalidArgumentsError,
        ipc.update_configuration,
        key_path=["accessControl"],
        timestamp=now,
        value_to_merge={"x": {}},
    )
    message_of(refused, model.InvalidArgumentsError, "accessControl")


def an_oversize_publish_is_answered(port):
    ipc = connect()
    events, _ = subscribe(ipc, f"{ROOT}/big")
    confirm(ipc, events, f"{ROOT}/big")
    publish(ipc, f"{ROOT}/big", b"x" * 100_000)
    assert receive(events).payload == b"x" * 100_000
    large = raises(
        model.ServiceError,
        ipc.publish_to_iot_core,
        topic_name=f"{ROOT}/big",
        qos=model.QOS.AT_LEAST_ONCE,
        payload=b"x" * (128 * 1024 + 1),
    )
    message_of(large, model.ServiceError, "exceeds the limit of 131072")
    publish(ipc, f"{ROOT}/big", b"the connection is as good as before")
    assert receive(events).payload == b"the connection is as good as before"


def refused_requests_say_why(port):
    ipc = connect()
    mqtt = {"qos": model.QOS.AT_LEAST_ONCE, "payload": b"x"}
    refused = raises(model.UnauthorizedError, ipc.publish_to_iot_core, topic_name="elsewhere", **mqtt)
    message_of(refused, model.UnauthorizedError, "is not authorized to perform aws.greengrass.ipc.mqttproxy")
    mqtt = {"qos": "7", "payload": b"x"}
    refused = raises(model.InvalidArgumentsError, ipc.publish_to_iot_core, topic_name=f"{ROOT}/x", **mqtt)
    message_of(refused, model.InvalidArgumentsError, "Invalid QoS value")
    refused = raises(model.ServiceError, ipc.update_state, state="BROKEN")
    # What nobody serves has no model: the client sees its stream end.
    raises(StreamClosedError, ipc.subscribe_to_iot_core_connection_status, on_stream_event=lambda e: None)
    # Only what is named aws.* may send metrics.
    metric = model.Metric(name="pages", unit=model.MetricUnitType.COUNT, value=1.0)
    refused = raises(model.UnauthorizedError, ipc.put_component_metric, metrics=[metric])
    message_of(refused, model.UnauthorizedError, "aws.greengrass.ipc.componentmetric")


def wildcards_leave_out_the_own_messages(port):
    ipc, other = connect(), connect_other()
    by_default, _ = subscribe_locally(ipc, "local/#")
    everything, _ = subscribe_locally(ipc, "local/#", model.ReceiveMode.RECEIVE_ALL_MESSAGES)
    others, _ = subscribe_locally(ipc, "local/a", model.ReceiveMode.RECEIVE_MESSAGES_FROM_OTHERS)
    publish_bytes(ipc, "local/a", b"own")
    publish_bytes(other, "local/a", b"theirs")
    payloads = lambda events, n: [events.get(timeout=DEADLINE).binary_message.message for _ in range(n)]
    assert payloads(everything, 2) == [b"own", b"theirs"]
    assert payloads(by_default, 1) == [b"theirs"] and payloads(others, 1) == [b"theirs"]
    assert by_default.empty() and others.empty()
    publish_json(other, "local/b", {"pages": 3})
    pages = everything.get(timeout=DEADLINE).json_message.message["pages"]
    assert (pages, type(pages)) == (3, float), "Gson knows floats only"
    message = model.PublishMessage(json_message=model.JsonMessage(message={}))
    refused = raises(model.InvalidArgumentsError, ipc.publish_to_topic, topic="local/+", publish_message=message)
    message_of(refused, model.InvalidArgumentsError, "wildcard")


def shadows_are_kept_locally(port):
    ipc = connect()
    shadow = {"thing_name": THING, "shadow_name": "hp-1"}
    prefix = f"$aws/things/{THING}/shadow/name/hp-1"
    events, _ = subscribe_locally(ipc, f"{prefix}/#")

    def told():
        event = events.get(timeout=DEADLINE)
        return event.binary_message.context.topic.removeprefix(f"{prefix}/"), json.loads(event.binary_message.message)

    missing = raises(model.ResourceNotFoundError, ipc.get_thing_shadow, **shadow)
    message_of(missing, model.ResourceNotFoundError, "No shadow found")
    assert missing.resource_type == "shadow", missing
    topic, rejected = told()
    assert (topic, rejected["code"]) == ("get/rejected", 404), (topic, rejected)
    update = {"state": {"desired": {"poll": 60}, "reported": {"poll": 30, "status": "idle"}}, "clientToken": "t-1"}
    accepted = document(ipc.update_thing_shadow(**shadow, payload=json.dumps(update)))
    assert (accepted["version"], accepted["clientToken"], accepted["state"]) == (1, "t-1", update["state"]), accepted
    messages = dict(told() for _ in range(3))
    assert messages["update/delta"]["state"] == {"poll": 60}, messages
    assert messages["update/documents"]["current"]["version"] == 1, messages
    assert messages["update/accepted"] == accepted, messages
    got = document(ipc.get_thing_shadow(**shadow))
    assert (got["version"], got["state"]["delta"]) == (1, {"poll": 60}), got
    assert told()[0] == "get/accepted"
    conflict = raises(
        model.ConflictError, ipc.update_thing_shadow, **shadow, payload=json.dumps({"state": {}, "version": 9})
    )
    message_of(conflict, model.ConflictError, "Version conflict")
    assert told()[1]["code"] == 409
    for payload in ("", "no json", '{"state": 1}', json.dumps({"state": {"reported": {"x": "y" * 9_000}}})):
        raises(model.InvalidArgumentsError, ipc.update_thing_shadow, **shadow, payload=payload)
        assert told()[0] == "update/rejected"
    assert ipc.delete_thing_shadow(**shadow).payload == b""
    assert told()[0] == "delete/accepted"
    raises(model.ResourceNotFoundError, ipc.delete_thing_shadow, **shadow)
    raises(model.InvalidArgumentsError, ipc.get_thing_shadow, thing_name="a b", shadow_name="")
    for thing, name in ((THING, ""), ("someone-else", "hp-1")):
        raises(model.UnauthorizedError, ipc.get_thing_shadow, thing_name=thing, shadow_name=name)
    # Nothing of it reached the cloud: its shadow service knows no such shadow.
    cloud, _ = subscribe(ipc, f"{prefix}/get/+")
    end = time.monotonic() + DEADLINE
    while cloud.empty():
        assert time.monotonic() < end, "the shadow service never answered"
        publish(ipc, f"{prefix}/get", b"")
        time.sleep(0.1)
    assert cloud.get().topic_name.endswith("/rejected")


def named_shadows_are_listed_in_pages(port):
    ipc = connect()
    for name in ("c", "a", "b"):
        ipc.update_thing_shadow(thing_name=THING, shadow_name=name, payload='{"state":{}}')
    first = ipc.list_named_shadows_for_thing(thing_name=THING, page_size=2)
    assert (first.results, first.timestamp is not None) == (["a", "b"], True), first
    second = ipc.list_named_shadows_for_thing(thing_name=THING, page_size=2, next_token=first.next_token)
    assert (second.results, second.next_token) == (["c"], None), second
    assert ipc.list_named_shadows_for_thing(thing_name=THING).results == ["a", "b", "c"]
    for wrong in ({"page_size": 0}, {"page_size": 101}, {"next_token": "2-x"}):
        raises(model.InvalidArgumentsError, ipc.list_named_shadows_for_thing, thing_name=THING, **wrong)
    raises(model.UnauthorizedError, ipc.list_named_shadows_for_thing, thing_name="someone-else")


def shadow_requests_are_counted(port):
    ipc = connect()
    try:
        for _ in range(200):
            ipc.update_thing_shadow(thing_name=THING, shadow_name="busy", payload='{"state":{}}')
    except model.ServiceError as error:
        message_of(error, model.ServiceError, "Too Many Requests")
        return
    raise AssertionError("200 requests at once were served")


def secrets_are_handed_out(port):
    ipc = connect()
    answer = ipc.get_secret_value(secret_id="printers/hp")
    assert answer.secret_value.secret_string == "hunter2" and answer.secret_value.secret_binary is None, "hp"
    assert answer.version_stage == ["AWSCURRENT"] and answer.version_id, answer.version_stage
    by_arn = ipc.get_secret_value(secret_id=answer.secret_id, version_stage="AWSCURRENT")
    assert by_arn.secret_value.secret_string == "hunter2", "by ARN"
    assert ipc.get_secret_value(secret_id="printers/key").secret_value.secret_binary == b"\xff\x00", "key"
    say("rotate")
    sys.stdin.readline()
    assert ipc.get_secret_value(secret_id="printers/hp").secret_value.secret_string == "hunter3", "rotated"
    before = ipc.get_secret_value(secret_id="printers/hp", version_stage="AWSPREVIOUS")
    assert before.secret_value.secret_string == "hunter2" and before.version_id == answer.version_id, "previous"
    missing = raises(model.ResourceNotFoundError, ipc.get_secret_value, secret_id="printers/none")
    assert missing.resource_type == "secret", missing
    raises(model.ResourceNotFoundError, ipc.get_secret_value, secret_id="printers/hp", version_stage="label")
    raises(model.UnauthorizedError, ipc.get_secret_value, secret_id="other")
    raises(model.ServiceError, ipc.get_secret_value, secret_id="")


def updates_are_deferred_and_allowed(port):
    ipc = connect()
    defer = lambda deployment, ms: ipc.defer_component_update(deployment_id=deployment, recheck_after_ms=ms)
    error = raises(model.InvalidArgumentsError, ipc.defer_component_update, deployment_id="d-1", recheck_after_ms=0)
    message_of(error, model.InvalidArgumentsError, "not subscribed")
    events = queue.Queue()
    ipc.subscribe_to_component_updates(on_stream_event=events.put)
    raises(model.ServiceError, ipc.defer_component_update, deployment_id="d-1", recheck_after_ms=0)
    raises(model.InvalidArgumentsError, ipc.defer_component_update, recheck_after_ms=0)
    say("propose d-1")
    for ms in (300, 200, 0):
        event = events.get(timeout=DEADLINE)
        assert event.post_update_event is None, event
        assert (event.pre_update_event.deployment_id, event.pre_update_event.is_ggc_restarting) == ("d-1", False)
        defer("d-1", ms)
    event = events.get(timeout=DEADLINE)
    assert event.pre_update_event is None and event.post_update_event.deployment_id == "d-1", event
    say("propose d-2")
    assert events.get(timeout=DEADLINE).pre_update_event.deployment_id == "d-2"
    # No answer to this one; the deployment goes on after its time.
    assert events.get(timeout=DEADLINE).post_update_event.deployment_id == "d-2"
    raises(model.ServiceError, ipc.defer_component_update, deployment_id="d-2", recheck_after_ms=0)


def a_new_configuration_is_judged(port):
    ipc = connect()
    events = queue.Queue()
    ipc.subscribe_to_validate_configuration_updates(on_stream_event=events.put)

    def report(status, message=None):
        ipc.send_configuration_validity_report(
            configuration_validity_report=model.ConfigurationValidityReport(
                status=status, deployment_id="d-1", message=message
            )
        )

    error = None
    try:
        report(model.ConfigurationValidityStatus.ACCEPTED)
    except model.InvalidArgumentsError as refused:
        error = refused
    message_of(error, model.InvalidArgumentsError, "was never made")
    say("validate")
    event = events.get(timeout=DEADLINE).validate_configuration_update_event
    assert (event.configuration, event.deployment_id) == ({"poll": {"seconds": -1}}, "d-1"), event
    report(model.ConfigurationValidityStatus.REJECTED, "poll/seconds is negative")
    sys.stdin.readline()


def components_are_paused_and_resumed(port):
    ipc = connect()
    raises(model.InvalidArgumentsError, ipc.resume_component, component_name="dev.printgate.Other")
    ipc.pause_component(component_name="dev.printgate.Other")
    say("paused")
    sys.stdin.readline()
    ipc.resume_component(component_name="dev.printgate.Other")
    raises(model.UnauthorizedError, ipc.pause_component, component_name=COMPONENT)
    raises(model.UnauthorizedError, ipc.pause_component, component_name="dev.printgate.Nobody")


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else "")
    sys.stdout.flush()
    os._exit(0)
