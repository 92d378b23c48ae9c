/* SPDX-License-Identifier: Apache-2.0 */
/* The consumer: the group's membership says which partitions are ours, the owner says where each
 * starts. What Kafka has stored as positions is never read. */
#include <string.h>

#include "bus_kafka.h"
#include "clock.h"
#include "log.h"

enum { PROBE_MS = 500, COMMIT_MS = 1000, CLOSE_MS = 3000, CLOSE_LOOK_MS = 50 };

/* A killed scorer's partitions move on after the session's time-out. */
static const BusKafkaSetting settings[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "earliest"}, /* for positions that are no longer there */
    {"partition.assignment.strategy", "cooperative-sticky"},
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "2000"},
    {"queued.max.messages.kbytes", "32768"},
    {"fetch.wait.max.ms", "100"},
    {NULL, NULL},
};

/* --- assignment ---------------------------------------------------------------------------- */

/* Asks the owner for the position of each; what he does not want goes to @out_unwanted. */
static void ask_positions(BusKafka *self, rd_kafka_topic_partition_list_t *parts,
                          rd_kafka_topic_partition_list_t *out_unwanted)
{
    for (int i = 0; i < parts->cnt; i++) {
        rd_kafka_topic_partition_t *part = &parts->elems[i];
        gint64 position = PST_BUS_OLDEST;
        if (self->assignment.assigned(self->assignment.user, part->topic, part->partition,
                                      &position)) {
            part->offset = position < 0 ? RD_KAFKA_OFFSET_BEGINNING : position;
        } else {
            part->offset = RD_KAFKA_OFFSET_END;
            rd_kafka_topic_partition_list_add(out_unwanted, part->topic, part->partition);
        }
    }
}

/* Messages of this poll that the owner may no longer take. */
static void forget_messages(BusKafka *self, const rd_kafka_topic_partition_t *part)
{
    gsize kept = 0;
    for (gsize i = 0; i < self->n_out; i++) {
        const PstBusMessage *message = &self->out[i];
        if (message->partition != part->partition || strcmp(message->topic, part->topic) != 0)
            self->out[kept++] = *message;
    }
    self->n_out = kept;
}

static void give_back(BusKafka *self, const rd_kafka_topic_partition_list_t *parts)
{
    for (int i = 0; i < parts->cnt; i++) {
        const rd_kafka_topic_partition_t *part = &parts->elems[i];
        forget_messages(self, part);
        rd_kafka_topic_partition_list_del(self->commits, part->topic, part->partition);
        self->assignment.revoked(self->assignment.user, part->topic, part->partition);
    }
}

/* The group shares out the partitions of the first topic; those of the others go with them. Kafka
 * would spread each topic by itself, and two readers would hold a partition's halves. Given. */
static rd_kafka_topic_partition_list_t *of_all_topics(const BusKafka *self,
                                                      const rd_kafka_topic_partition_list_t *parts)
{
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(2 * parts->cnt);
    for (gsize t = 0; self->topics[t] != NULL; t++)
        for (int i = 0; i < parts->cnt; i++)
            rd_kafka_topic_partition_list_add(all, self->topics[t], parts->elems[i].partition);
    return all;
}

static void rebalance(rd_kafka_t *client, rd_kafka_resp_err_t event,
                      rd_kafka_topic_partition_list_t *shares, void *opaque)
{
    BusKafka *self = opaque;
    rd_kafka_error_t *failed;
    rd_kafka_topic_partition_list_t *parts = of_all_topics(self, shares);
    self->rebalanced = TRUE;
    if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        rd_kafka_topic_partition_list_t *unwanted = rd_kafka_topic_partition_list_new(1);
        ask_positions(self, parts, unwanted);
        failed = rd_kafka_incremental_assign(client, parts);
        if (unwanted->cnt > 0)
            rd_kafka_pause_partitions(client, unwanted);
        rd_kafka_topic_partition_list_destroy(unwanted);
    } else {
        give_back(self, parts);
        failed = rd_kafka_incremental_unassign(client, parts);
    }
    rd_kafka_topic_partition_list_destroy(parts);
    if (failed == NULL)
        return;
    pst_log(PST_LOG_WARN, "bus", "kafka rebalance: %s", rd_kafka_error_string(failed));
    rd_kafka_error_destroy(failed);
}

/* --- subscription -------------------------------------------------------------------------- */

static rd_kafka_resp_err_t join(rd_kafka_t *client, const char *first_topic)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, first_topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t status = rd_kafka_subscribe(client, list);
    rd_kafka_topic_partition_list_destroy(list);
    return status;
}

gboolean bus_kafka_subscribe(PstBus *bus, const char *group, const char *const *topics,
                             const PstBusAssignment *assignment, GError **error)
{
    BusKafka *self = bus_kafka(bus);
    self->assignment = *assignment;
    rd_kafka_conf_t *conf = bus_kafka_conf(self, settings, error);
    if (conf == NULL)
        return FALSE;
    rd_kafka_conf_set(conf, "group.id", group, NULL, 0);
    rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    rd_kafka_t *client = bus_kafka_client_take(RD_KAFKA_CONSUMER, conf, error);
    if (client == NULL)
        return FALSE;
    rd_kafka_poll_set_consumer(client);
    g_strfreev(self->topics);
    self->topics = g_strdupv((char **)(gsize)topics);
    rd_kafka_resp_err_t status = join(client, topics[0]);
    if (status != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_destroy(client);
        return bus_kafka_fail(error, status, "subscribe", NULL);
    }
    self->consumer = client;
    self->commits = rd_kafka_topic_partition_list_new(8);
    self->messages = g_ptr_array_new_with_free_func((GDestroyNotify)rd_kafka_message_destroy);
    self->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return TRUE;
}

/* Best effort: nobody waits for the answer. */
static void send_commits(BusKafka *self)
{
    if (self->commits->cnt > 0)
        rd_kafka_commit(self->consumer, self->commits, 1);
    rd_kafka_topic_partition_list_destroy(self->commits);
    self->commits = rd_kafka_topic_partition_list_new(8);
    self->next_commit_ns = pst_mono_now().ns + COMMIT_MS * PST_NS_PER_MS;
}

static void take_close_event(BusKafka *self, rd_kafka_event_t *event)
{
    if (event != NULL && rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE)
        rebalance(self->consumer, rd_kafka_event_error(event),
                  rd_kafka_event_topic_partition_list(event), self);
    if (event != NULL)
        rd_kafka_event_destroy(event);
}

/* What was not revoked by then is given back without the broker. */
static void leave_without_farewell(BusKafka *self)
{
    rd_kafka_topic_partition_list_t *parts = NULL;
    pst_log(PST_LOG_WARN, "bus",
            "kafka: the broker does not answer; its group learns that we left when the session's "
            "time is over, the last positions are not told to it");
    if (rd_kafka_assignment(self->consumer, &parts) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        give_back(self, parts);
        rd_kafka_topic_partition_list_destroy(parts);
    }
}

/* Revokes what we have, and leaves the group: for which rd_kafka_consumer_close() would wait as
 * long as a session may last. FALSE: without the broker. */
static gboolean leave_group(BusKafka *self)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(self->consumer);
    rd_kafka_error_t *failed = rd_kafka_consumer_close_queue(self->consumer, queue);
    PstMono end = pst_mono_add(pst_mono_now(), pst_span_ms(CLOSE_MS));
    while (failed == NULL && !rd_kafka_consumer_closed(self->consumer) &&
           pst_mono_since(end, pst_mono_now()).ns > 0)
        take_close_event(self, rd_kafka_queue_poll(queue, CLOSE_LOOK_MS));
    gboolean closed = failed == NULL && rd_kafka_consumer_closed(self->consumer);
    if (failed != NULL)
        rd_kafka_error_destroy(failed);
    if (!closed)
        leave_without_farewell(self);
    rd_kafka_queue_destroy(queue);
    return closed;
}

void bus_kafka_consumer_close(BusKafka *self)
{
    if (self->consumer == NULL)
        return;
    g_ptr_array_set_size(self->messages, 0);
    self->n_out = 0;
    send_commits(self);
    gboolean left = leave_group(self);
    g_clear_pointer(&self->commits, rd_kafka_topic_partition_list_destroy);
    rd_kafka_destroy_flags(self->consumer, left ? 0 : RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    self->consumer = NULL;
    g_clear_pointer(&self->messages, g_ptr_array_unref);
    g_clear_pointer(&self->names, g_hash_table_unref);
}

/* --- reading ------------------------------------------------------------------------------- */

/* Reads "EPOCH.SEQUENCE.PRODUCER"; anything else is a message of somebody else: no stamp. */
static void read_stamp(const rd_kafka_message_t *message, PstBusStamp *out)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;
    *out = (PstBusStamp){.producer = ""};
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, BUS_KAFKA_STAMP, &value, &size) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        value == NULL)
        return;
    /* librdkafka ends header values with a NUL of its own; one inside only shortens the text. */
    char *end;
    guint64 epoch = g_ascii_strtoull(value, &end, 10);
    if (end == (const char *)value || *end != '.')
        return;
    const char *text = end + 1;
    guint64 sequence = g_ascii_strtoull(text, &end, 10);
    if (end == text || *end != '.' || strlen(end + 1) > PST_BUS_PRODUCER_MAX)
        return;
    *out = (PstBusStamp){end + 1, epoch, sequence};
}

static const char *intern(BusKafka *self, const char *name)
{
    gpointer known = g_hash_table_lookup(self->names, name);
    if (known == NULL)
        g_hash_table_add(self->names, known = g_strdup(name));
    return known;
}

static void keep_message(BusKafka *self, rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t kind;
    g_ptr_array_add(self->messages, message);
    PstBusMessage *out = &self->out[self->n_out++];
    *out = (PstBusMessage){.topic = intern(self, rd_kafka_topic_name(message->rkt)),
                           .partition = message->partition,
                           .offset = message->offset,
                           .time_ms = rd_kafka_message_timestamp(message, &kind),
                           .data = message->payload,
                           .len = message->len};
    read_stamp(message, &out->stamp);
}

/* Events that come in a message's clothes. FALSE: the owner should hear of it. */
static gboolean take_event(BusKafka *self, rd_kafka_message_t *message, GError **error)
{
    rd_kafka_resp_err_t status = message->err;
    g_autofree char *text = g_strdup(rd_kafka_message_errstr(message));
    rd_kafka_message_destroy(message);
    switch ((int)status) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED: /* the next poll joins again */
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
        return TRUE;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: /* it may be made yet */
        pst_log_limited(&self->poll_limit, PST_LOG_WARN, "bus", "kafka: %s", text);
        return TRUE;
    default:
        return bus_kafka_fail(error, status, "read", text);
    }
}

/* Takes what is there until @end; waits only for the first message. */
static gboolean collect(BusKafka *self, PstMono end, gsize max, GError **error)
{
    while (self->n_out < max && !(self->rebalanced && self->n_out > 0)) {
        gint64 rest_ms = pst_mono_since(end, pst_mono_now()).ns / PST_NS_PER_MS;
        int wait_ms = self->n_out > 0 ? 0 : (int)MAX(rest_ms, 0);
        rd_kafka_message_t *message = rd_kafka_consumer_poll(self->consumer, wait_ms);
        if (message == NULL && (wait_ms == 0 || self->n_out > 0))
            return TRUE;
        if (message == NULL)
            continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            keep_message(self, message);
        else if (!take_event(self, message, error))
            return FALSE;
    }
    return TRUE;
}

/* Nobody tells when a lost broker is back and there is nothing to read: ask. */
static gboolean is_back(BusKafka *self)
{
    const struct rd_kafka_metadata *answer;
    if (rd_kafka_metadata(self->consumer, 0, NULL, &answer, PROBE_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return FALSE;
    rd_kafka_metadata_destroy(answer);
    g_clear_pointer(&self->trouble, g_free);
    return TRUE;
}

gssize bus_kafka_poll(PstBus *bus, int timeout_ms, PstBusMessage *out, gsize max, GError **error)
{
    BusKafka *self = bus_kafka(bus);
    g_autoptr(GError) problem = NULL;
    g_ptr_array_set_size(self->messages, 0);
    self->out = out;
    self->n_out = 0;
    self->rebalanced = FALSE;
    /* Its events must go somewhere in a program that only reads; reports are not for here. */
    if (self->producer != NULL && self->undelivered == 0)
        rd_kafka_poll(self->producer, 0);
    if (pst_mono_now().ns >= self->next_commit_ns)
        send_commits(self);
    gboolean ok =
        collect(self, pst_mono_add(pst_mono_now(), pst_span_ms(timeout_ms)), max, &problem);
    /* What was read before an event is given first: it would not come again. */
    if (self->away && (self->n_out > 0 || is_back(self)))
        self->away = FALSE;
    if (self->n_out > 0 || (ok && !self->away))
        return (gssize)self->n_out;
    if (ok)
        bus_kafka_fail(&problem, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "read", self->trouble);
    g_propagate_error(error, g_steal_pointer(&problem));
    return -1;
}

/* Noted here, sent by poll: one request a second for all partitions. */
void bus_kafka_commit(PstBus *bus, const char *topic, gint32 partition, gint64 position)
{
    BusKafka *self = bus_kafka(bus);
    rd_kafka_topic_partition_t *part =
        rd_kafka_topic_partition_list_find(self->commits, topic, partition);
    if (part == NULL)
        part = rd_kafka_topic_partition_list_add(self->commits, topic, partition);
    part->offset = position;
}
