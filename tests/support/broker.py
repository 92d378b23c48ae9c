# SPDX-License-Identifier: Apache-2.0
"""A real Apache Kafka for tests, by tests/support/kafka/kafka-start."""

import os
import signal
import subprocess
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

SCRIPTS = Path(__file__).parent / "kafka"


class NotProduced(Exception):
    """The broker did not take a message."""


class Kafka:
    """A cluster of `brokers` brokers in `folder`."""

    def __init__(self, folder, brokers=1):
        self.folder = Path(folder)
        self.bootstrap = self._run("kafka-start", self.folder, *["0"] * brokers)

    @staticmethod
    def _run(script, *arguments):
        command = [SCRIPTS / script, *map(str, arguments)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def start(self):
        """Starts what does not run, with the old ports and data."""
        self._run("kafka-start", self.folder)

    def stop(self, *brokers):
        self._run("kafka-stop", self.folder, *brokers)

    def kill(self, *brokers):
        """SIGKILL; without numbers: all brokers."""
        self._run("kafka-stop", "--kill", self.folder, *brokers)

    def pause(self, broker=1):
        """SIGSTOP: the sockets stay open and nobody answers."""
        os.kill(self._pid(broker), signal.SIGSTOP)

    def resume(self, broker=1):
        os.kill(self._pid(broker), signal.SIGCONT)

    def _pid(self, broker):
        return int((self.folder / str(broker) / "pid").read_text())

    @property
    def uri(self):
        """What a program's --bus or --output takes."""
        return f"kafka://{self.bootstrap}"

    def _admin(self):
        return AdminClient({"bootstrap.servers": self.bootstrap})

    def create_topic(self, name, partitions, **settings):
        topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=settings)
        admin = self._admin()    # must outlive the answer
        admin.create_topics([topic])[name].result(timeout=30)

    def partitions(self, name):
        """The partition count, 0 where there is no such topic."""
        topics = self._admin().list_topics(timeout=30).topics
        return len(topics[name].partitions) if name in topics else 0

    def delete_topic(self, name):
        admin = self._admin()
        admin.delete_topics([name])[name].result(timeout=30)

    def bounds(self, topic):
        """{partition: (oldest offset, end)} of a topic."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "judge"})
        try:
            return {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=30)
                    for n in range(self.partitions(topic))}
        finally:
            consumer.close()

    def delete_records(self, places):
        """Throws away what lies before each TopicPartition's offset."""
        admin = self._admin()
        for answer in admin.delete_records(places).values():
            answer.result(timeout=30)

    def committed(self, group, topic, partition):
        """The position that a group has left with the broker, −1001 where there is none."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        try:
            [place] = consumer.committed([TopicPartition(topic, partition)], timeout=10)
            return place.offset
        finally:
            consumer.close()

    def produce(self, topic, partition, payload):
        """One message by an independent client, acknowledged before this returns."""
        answers = []
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all",
                             "topic.metadata.propagation.max.ms": 1000})
        producer.produce(topic, payload, partition=partition,
                         on_delivery=lambda error, message: answers.append(error))
        assert producer.flush(30) == 0
        if answers[0] is not None:
            raise NotProduced(str(answers[0]))

    def read_all(self, topic, partition):
        """Every message of a partition from its start to its present end, by an independent
        client."""
        return [payload for _, payload in self.read_with_headers(topic, partition)]

    def read_with_headers(self, topic, partition):
        """The same, each with its headers: [(name, bytes)]."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "judge",
                             "enable.auto.commit": False, "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, partition, 0)])
        messages = []
        try:
            while True:
                message = consumer.poll(30)
                assert message is not None, "no answer within 30 s"
                if message.error() is None:
                    messages.append((message.headers(), message.value()))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    return messages
                else:
                    raise KafkaException(message.error())
        finally:
            consumer.close()
