"""What can be set about Kafka, the keys of records, and what is said where something does not fit."""

from __future__ import annotations

import pytest

from devices.messages import MessageChunk
from driftline.cluster.device_keys import DeviceKeys
from driftline.cluster.receiving import KafkaReceiver
from driftline.config import Config, parse_config
from driftline.config_errors import ConfigError
from storage.journal.kafka_records import RecordError, headers_of, message_of, packet_of
from storage.journal.kafka_settings import KafkaSettings
from storage.journal.kafka_topic import KafkaAwayError, partitions_of

pytest.importorskip("confluent_kafka")


def keys(config: Config, *messages: tuple[bytes, bytes]) -> list[bytes]:
    return DeviceKeys(config)(MessageChunk.of([(*each, 1 + i, 1) for i, each in enumerate(messages)]))


def test_a_key_is_the_device_as_far_as_the_topic_tells() -> None:
    config = parse_config('[[routes]]\nfilter = "plant/#"\ndevice = "{topic[1]}"\n')
    found = keys(config, (b"plant/d1/t", b"1"), (b"plant/d1/p/x", b'{"a":1}'), (b"plant/d2", b"on"), (b"other/a", b"1"))
    assert found == [b"d1", b"d1", b"d2", b"other/a"]


def test_where_the_payload_has_a_say_the_key_is_the_topic() -> None:
    config = parse_config('[[routes]]\nfilter = "plant/#"\ndevice = "{serial}"\ncodec = "json"\n')
    assert keys(config, (b"plant/gateway", b'{"serial":"a","t":1}'), (b"plant/gateway", b'{"serial":"b","t":1}')) == [
        b"plant/gateway",
        b"plant/gateway",
    ]


def test_a_key_does_not_depend_on_what_came_before() -> None:
    messages = [(b"shellies/x-1/temperature", b"21.5"), (b"zigbee2mqtt/lamp", b'{"state":"ON"}'), (b"a/b", b"{}")]
    one = keys(Config(), *messages)
    assert keys(Config(), *reversed(messages)) == one[::-1]
    assert keys(Config(), messages[0], (b"a/b", b"21.5"))[1] == one[2]


def test_a_message_comes_back_from_its_record_as_it_was() -> None:
    properties = b"\x05\x03\x00\x02ab"
    chunk = MessageChunk.of([(b"plant/\xc3\xa4", b"\x00\xff", 1_700_000_000_000_000_001, 5)], properties=[properties])
    headers = headers_of(chunk, 0, 77, b"one")
    message = message_of(headers, chunk.payload(0))
    assert (message.topic, message.payload, message.arrived, message.flags) == (
        b"plant/\xc3\xa4",
        b"\x00\xff",
        1_700_000_000_000_000_001,
        5,
    )
    assert message.properties == properties
    assert (packet_of(headers, b"one"), packet_of(headers, b"two")) == (77, 0)


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ([("arrived", b"1"), ("flags", b"0")], 'header "topic" is missing'),
        (
            [("topic", b"a"), ("arrived", b"x"), ("flags", b"0")],
            "header \"arrived\": b'x': expected ns since the epoch",
        ),
        ([("topic", b"a"), ("arrived", b"1")], "header \"flags\": b'': expected a number below 16"),
    ],
)
def test_a_record_of_others_is_refused_with_the_reason(headers: list[tuple[str, bytes]], sentence: str) -> None:
    with pytest.raises(RecordError) as refused:
        message_of(headers, b"1")
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('servers = ["kafka"]', 'driftline.toml: kafka.servers: "kafka": expected host:port'),
        (
            'security = "sasl_ssl"',
            'driftline.toml: kafka.username: security = "sasl_ssl" needs a username',
        ),
        (
            'password = "x"',
            "driftline.toml: kafka.password: secrets are not read from this file; set DRIFTLINE_KAFKA_PASSWORD in the "
            'environment or write password_file = "PATH" here',
        ),
    ],
)
def test_what_does_not_fit_is_said(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(f"[kafka]\n{text}\n")
    assert refused.value.errors == [sentence]


def test_receivers_need_a_broker_that_they_can_share() -> None:
    with pytest.raises(ValueError) as refused:
        KafkaReceiver(Config(), environment={})
    assert str(refused.value) == ('broker.url: "auto": receivers share one broker: set its address, mqtt://host:port')


def test_a_kafka_that_is_away_is_named(free_port: int) -> None:
    with pytest.raises(KafkaAwayError) as away:
        partitions_of(KafkaSettings(servers=[f"127.0.0.1:{free_port}"]), None, timeout=1)
    assert str(away.value).startswith(f'Kafka at 127.0.0.1:{free_port}, topic "driftline": no server answers')
