/* tests/unit/test_tls_session.c - goal: whatever a peer or the memory does in the middle of a
 * session, nothing is written before the handshake is complete, nothing is accepted that would
 * have been refused, nothing is taken for the end that is not, and no memory stays behind.
 *
 * Method: one handshake is recorded for each version; then the client is given a part of it, a
 * changed byte, an alert at each record, one failed allocation after the other.
 */
#include "tests/unit/tls_pair.h"

typedef WOLFSSL_METHOD *method_fn(void);
static method_fn *const methods[] = {wolfTLSv1_2_server_method, wolfTLSv1_3_server_method};

/* An RSA signature has always the same length, and so has the handshake. */
static const struct pair_setup rsa[] = {
    {.cert = "good-rsa", .server_method = wolfTLSv1_2_server_method},
    {.cert = "good-rsa", .server_method = wolfTLSv1_3_server_method}};

/* ---- reading and writing ------------------------------------------------------------------ */

Test(tls_session, bytes_in_any_pieces)
{
    static char sent[40000], heard[40000];
    for (size_t i = 0; i < sizeof sent; i++) sent[i] = (char)(i * 7 + i / 251);
    static const size_t pieces[] = {1, 2, 5, 100, 2048, 0};
    for (int m = 0; m < 2; m++)
        for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
            struct pair *p = pair_new(&(struct pair_setup){.server_method = methods[m]});
            enum tls_step last;
            p->pieces = pieces[i];
            cr_assert_eq(pair_shake(p), TLS_DONE);
            client_say(p, sent, sizeof sent);
            cr_assert_eq(p->got_len, sizeof sent);
            cr_assert_arr_eq(p->got, sent, sizeof sent);
            for (size_t at = 0; at < sizeof sent; at += 10000)
                cr_assert_eq(wolfSSL_write(p->server, sent + at, 10000), 10000);
            cr_assert_eq(client_hear(p, heard, sizeof heard, &last), sizeof heard);
            cr_assert_arr_eq(heard, sent, sizeof sent);
            pair_free(p);
        }
}

Test(tls_session, goodbyes_are_said_and_heard)
{
    char heard[64];
    enum tls_step last;
    for (int m = 0; m < 2; m++) {
        struct pair *p = pair_new(&(struct pair_setup){.server_method = methods[m]});
        cr_assert_eq(pair_shake(p), TLS_DONE);
        cr_assert_eq(wolfSSL_write(p->server, "the end", 7), 7);
        cr_assert_eq(client_hear(p, heard, sizeof heard, &last), 7);
        cr_assert_eq(last, TLS_AGAIN);
        cr_assert_not(tls_peer_closed(p->client)); /* a plain end here would be a truncation */
        wolfSSL_shutdown(p->server);
        cr_assert_eq(client_hear(p, heard, sizeof heard, &last), 0);
        cr_assert_eq(last, TLS_CLOSED);
        cr_assert(tls_peer_closed(p->client));
        tls_close(p->client);
        client_flush(p);
        server_step(p);
        cr_assert(p->server_closed);
        pair_free(p);
    }
}

Test(tls_session, bytes_before_a_goodbye_are_read_first)
{
    char heard[64];
    enum tls_step last;
    struct pair *p = pair_new(&(struct pair_setup){.cert = "good"});
    cr_assert_eq(pair_shake(p), TLS_DONE);
    cr_assert_eq(wolfSSL_write(p->server, "the end", 7), 7);
    wolfSSL_shutdown(p->server);
    cr_assert_eq(client_hear(p, heard, sizeof heard, &last), 7);
    cr_assert_eq(last, TLS_CLOSED);
    pair_free(p);
}

/* ---- a peer that breaks off, lies or garbles ---------------------------------------------- */

/* Feeds the client what the server says, after `change` had its way with it. Returns where the
 * client stands. The server's part of the handshake goes on with what the client answers. */
typedef void change_fn(struct pair *p, size_t from, size_t at);

static enum tls_step shake_changed(struct pair *p, size_t at, change_fn *change)
{
    enum tls_step step = tls_handshake(p->client);
    for (int i = 0; i < 100 && step == TLS_AGAIN; i++) {
        bool moved = client_flush(p);
        size_t from = p->to_client.written;
        server_step(p);
        change(p, from, at);
        struct span news = client_news(p);
        if (news.len == 0 && !moved) break;
        if (news.len == 0) continue;
        tls_feed(p->client, news.ptr, news.len);
        step = tls_handshake(p->client);
    }
    return step;
}

/* Nothing beyond the byte at `at` ever arrives. */
static void cut(struct pair *p, size_t from, size_t at)
{
    (void)from;
    if (p->to_client.written > at) p->to_client.written = at;
    if (p->to_client.read > at) p->to_client.read = at;
}

/* The bytes that the client must have before it is open, and all that the server said. */
static size_t handshake_bytes(int m)
{
    struct pair *p = pair_new(&rsa[m]);
    p->pieces = 1;
    cr_assert_eq(pair_shake(p), TLS_DONE);
    size_t bytes = p->to_client.read;
    pair_free(p);
    return bytes;
}

Test(tls_session, a_handshake_cut_at_any_byte_is_not_complete)
{
    for (int m = 0; m < 2; m++) {
        size_t all = handshake_bytes(m);
        cr_assert_gt(all, 500);
        for (size_t at = 0; at < all; at += at < 150 || at + 150 > all ? 1 : 13) {
            struct pair *p = pair_new(&rsa[m]);
            enum tls_step step = shake_changed(p, at, cut);
            cr_assert_neq(step, TLS_DONE, "cut at %zu of %zu", at, all);
            cr_assert_not(tls_open(p->client));
            cr_assert_eq(p->got_len, 0);
            pair_free(p);
        }
    }
}

static void flip(struct pair *p, size_t from, size_t at)
{
    if (at >= from && at < p->to_client.written) p->to_client.bytes[at] ^= 0x01;
}

/* Bytes that no one is bound to check: the version in a record's head, and what TLS 1.3 sends for
 * the sake of old middle boxes. */
static bool is_loose(const struct pair *p, size_t at)
{
    const uint8_t *b = (const uint8_t *)p->to_client.bytes;
    for (size_t i = 0; i + 5 <= p->to_client.written;) {
        size_t len = (size_t)b[i + 3] << 8 | b[i + 4];
        if (at < i + 5 + len) return at == i + 1 || at == i + 2 || (b[i] & 0xfe) == 0x14;
        i += 5 + len;
    }
    return false;
}

Test(tls_session, a_handshake_with_a_changed_byte_is_not_complete)
{
    for (int m = 0; m < 2; m++) {
        size_t all = handshake_bytes(m);
        for (size_t at = 0; at < all; at += at < 150 || at + 150 > all ? 1 : 13) {
            struct pair *p = pair_new(&rsa[m]);
            enum tls_step step = shake_changed(p, at, flip);
            cr_assert(step != TLS_DONE || is_loose(p, at), "byte %zu of %zu", at, all);
            cr_assert_eq(p->got_len, 0);
            pair_free(p);
        }
    }
}

/* The record that begins the at-th is preceded by an alert in the clear. */
static void alert(struct pair *p, size_t from, size_t at)
{
    static const char bytes[] = {0x15, 3, 3, 0, 2, 2, 40};
    struct pipe_buffer *b = &p->to_client;
    size_t i = 0, record = 0;
    for (; i + 5 <= b->written && record < at; record++)
        i += 5 + ((size_t)(uint8_t)b->bytes[i + 3] << 8 | (uint8_t)b->bytes[i + 4]);
    if (record != at || i < from || i >= b->written) return;
    memmove(b->bytes + i + sizeof bytes, b->bytes + i, b->written - i);
    memcpy(b->bytes + i, bytes, sizeof bytes);
    b->written += sizeof bytes;
}

Test(tls_session, an_alert_before_any_record_ends_it)
{
    for (int m = 0; m < 2; m++) {
        bool before_all = false;
        for (size_t at = 0; at < 12; at++) {
            struct pair *p = pair_new(&(struct pair_setup){.server_method = methods[m]});
            enum tls_step step = shake_changed(p, at, alert);
            if (step == TLS_DONE) {
                cr_assert(before_all);
            } else {
                before_all = true;
                cr_assert_eq(step, TLS_ERROR);
                cr_assert_eq(tls_fault_err(tls_fault_of(p->client)), ERR_TLS_HANDSHAKE);
            }
            if (at == 0) cr_assert(strstr(tls_detail(p->client), "handshake_failure") != NULL);
            cr_assert_eq(p->got_len, 0);
            pair_free(p);
        }
    }
}

Test(tls_session, a_garbled_record_later_on_is_the_end)
{
    char heard[64];
    enum tls_step last;
    for (int m = 0; m < 2; m++) {
        struct pair *p = pair_new(&(struct pair_setup){.server_method = methods[m]});
        cr_assert_eq(pair_shake(p), TLS_DONE);
        client_hear(p, heard, sizeof heard, &last);
        wolfSSL_write(p->server, "ANSWER", 6);
        p->to_client.bytes[p->to_client.written - 3] ^= 0x40;
        cr_assert_eq(client_hear(p, heard, sizeof heard, &last), 0);
        cr_assert_eq(last, TLS_ERROR);
        cr_assert_eq(tls_fault_of(p->client), TLS_FAULT_BROKEN);
        size_t taken;
        cr_assert_eq(tls_write(p->client, "more", 4, &taken), TLS_ERROR);
        pair_free(p);
    }
}

/* ---- tickets ------------------------------------------------------------------------------ */

/* One connection of an existing pair; returns how the handshake ended. */
static enum tls_step again(struct pair *p, const struct pair_setup *how, bool *resumed)
{
    char heard[64];
    enum tls_step last;
    server_begin(p, how);
    cr_assert(client_begin(p, how));
    enum tls_step step = pair_shake(p);
    if (step == TLS_DONE) {
        *resumed = tls_resumed(p->client);
        client_say(p, "REQUEST", 7);
        wolfSSL_write(p->server, "ANSWER", 6);
        cr_assert_eq(client_hear(p, heard, sizeof heard, &last), 6);
    }
    return step;
}

static struct pair *pair_with_tickets(struct pair_setup *how, int m)
{
    how->tickets = tls_tickets_new(1 << 20);
    how->server_method = methods[m];
    struct pair *p = pair_new(how);
    pair_end(p);
    return p;
}

Test(tls_session, a_host_is_resumed)
{
    for (int m = 0; m < 2; m++) {
        struct pair_setup how = {.cert = "good"};
        struct pair *p = pair_with_tickets(&how, m);
        for (int i = 0; i < 5; i++) {
            bool resumed;
            cr_assert_eq(again(p, &how, &resumed), TLS_DONE);
            cr_assert_eq(resumed, i > 0, "TLS 1.%d, connection %d", m + 2, i);
            pair_end(p);
        }
        cr_assert_eq(tls_numbers(p->context)->handshakes, 5);
        cr_assert_eq(tls_numbers(p->context)->resumed, 4);
        pair_free(p);
        tls_tickets_free(how.tickets);
    }
}

Test(tls_session, another_host_never_gets_its_ticket)
{
    for (int m = 0; m < 2; m++) {
        struct pair_setup how = {.cert = "good"}, other = {.cert = "good", .host = "bank.example"};
        struct pair *p = pair_with_tickets(&how, m);
        bool resumed;
        cr_assert_eq(again(p, &how, &resumed), TLS_DONE);
        pair_end(p);
        uint32_t kept = tls_tickets_count(how.tickets);
        cr_assert_gt(kept, 0);
        /* The same server: it would take the ticket, and then nobody would look at its name. */
        cr_assert_eq(again(p, &other, &resumed), TLS_ERROR);
        cr_assert_eq(tls_fault_of(p->client), TLS_FAULT_NAME);
        cr_assert_eq(p->got_len, 0);
        pair_end(p);
        cr_assert_eq(tls_tickets_count(how.tickets), kept);
        cr_assert_eq(again(p, &how, &resumed), TLS_DONE);
        cr_assert(resumed);
        pair_free(p);
        tls_tickets_free(how.tickets);
    }
}

Test(tls_session, a_server_that_lost_its_ticket_key_is_verified_anew)
{
    for (int m = 0; m < 2; m++) {
        struct pair_setup how = {.cert = "good"};
        struct pair *p = pair_with_tickets(&how, m);
        bool resumed;
        cr_assert_eq(again(p, &how, &resumed), TLS_DONE);
        pair_end(p);
        wolfSSL_CTX_free(p->server_context);
        struct pair_setup impostor = how;
        impostor.cert = "unrelated";
        server_make(p, &impostor);
        cr_assert_eq(again(p, &how, &resumed), TLS_ERROR);
        if (m == 0) { /* TLS 1.2: wolfSSL finds out too late, see ticket_declined() */
            cr_assert_eq(tls_fault_of(p->client), TLS_FAULT_STALE);
            cr_assert_eq(p->got_len, 0);
            cr_assert_eq(tls_tickets_count(how.tickets), 0);
            pair_end(p);
            cr_assert_eq(again(p, &how, &resumed), TLS_ERROR);
        }
        cr_assert_eq(tls_fault_of(p->client), TLS_FAULT_UNTRUSTED);
        cr_assert_eq(p->got_len, 0);
        pair_free(p);
        tls_tickets_free(how.tickets);
    }
}

Test(tls_session, tickets_are_kept_by_name_and_given_once)
{
    struct tls_tickets *t = tls_tickets_new(256 * 1024);
    char out[TLS_TICKET_BYTES_MAX];
    struct span a = SPAN_LIT("a:443"), b = SPAN_LIT("a:44"), c = SPAN_LIT("A:443");
    cr_assert_eq(tls_tickets_take(t, a, out), 0);
    for (uint16_t i = 0; i < TLS_TICKETS_OF_HOST + 2; i++) tls_tickets_put(t, a, &i, sizeof i);
    cr_assert_eq(tls_tickets_count(t), TLS_TICKETS_OF_HOST);
    cr_assert_eq(tls_tickets_take(t, b, out), 0);
    cr_assert_eq(tls_tickets_take(t, c, out), 0);
    tls_tickets_put(t, b, "of b", 4);
    for (uint16_t i = TLS_TICKETS_OF_HOST + 1; i > 1; i--) {
        cr_assert_eq(tls_tickets_take(t, a, out), sizeof i);
        cr_assert_arr_eq(out, &i, sizeof i);
    }
    cr_assert_eq(tls_tickets_take(t, a, out), 0);
    for (int i = 0; i < 5; i++) tls_tickets_put(t, a, "x", 1);
    tls_tickets_forget(t, a);
    tls_tickets_forget(t, a);
    cr_assert_eq(tls_tickets_take(t, a, out), 0);
    cr_assert_eq(tls_tickets_take(t, b, out), 4);
    cr_assert_arr_eq(out, "of b", 4);
    static char large[TLS_TICKET_BYTES_MAX + 1];
    tls_tickets_put(t, a, large, sizeof large);
    cr_assert_eq(tls_tickets_count(t), 0);
    for (int i = 0; i < 1000; i++) { /* more than there is room for */
        char name[32];
        int len = snprintf(name, sizeof name, "host-%d:443", i);
        tls_tickets_put(t, span_of(name, (size_t)len), large, 1000);
    }
    cr_assert_gt(tls_tickets_count(t), 100);
    cr_assert_lt(tls_tickets_count(t), 260);
    cr_assert_eq(tls_tickets_take(t, SPAN_LIT("host-0:443"), out), 0);
    cr_assert_eq(tls_tickets_take(t, SPAN_LIT("host-999:443"), out), 1000);
    tls_tickets_free(t);
}

/* ---- memory ------------------------------------------------------------------------------- */

/* A handshake of a library with OPENSSL_ALL makes five times as many allocations. */
#ifdef OPENSSL_ALL
enum { TORTURE_STEP = 5 };
#else
enum { TORTURE_STEP = 1 };
#endif

struct torture {
    uint64_t runs, refused, done;
};

/* The nth allocation of the client fails, alone or with all after it: context, session, handshake,
 * a request. Returns false when there were fewer than n. */
static bool torture_one(const struct pair_setup *how, uint64_t n, bool all, struct torture *t)
{
    char why[TLS_WHY_BYTES];
    struct pair *p = calloc(1, sizeof *p);
    cr_assert_not_null(p);
    server_make(p, how);
    server_begin(p, how);
    bool fits = client_context_make(p, how, why);
    cr_assert(fits); /* the context's own making: see below */
    tls_pool_fail(p->pool, n, all);
    uint64_t from = tls_pool_asked(p->pool);
    enum tls_step step = TLS_ERROR;
    bool made = client_begin(p, how);
    if (made) step = pair_shake(p);
    if (made && step == TLS_ERROR && tls_pool_refused(p->pool) > 0)
        cr_assert_eq(tls_fault_of(p->client), TLS_FAULT_MEMORY, "allocation %llu: \"%s\"",
                     (unsigned long long)n, tls_detail(p->client));
    t->runs++;
    t->done += step == TLS_DONE;
    t->refused += step != TLS_DONE;
    bool reached = tls_pool_asked(p->pool) - from >= n;
    tls_pool_fail(p->pool, 0, false);
    pair_free(p);
    return reached;
}

static struct torture torture(const struct pair_setup *how, bool all, uint64_t step)
{
    struct torture t = {.runs = 0};
    for (uint64_t n = 1; torture_one(how, n, all, &t); n += step) {}
    return t;
}

Test(tls_session, no_failed_allocation_makes_a_refusal_an_acceptance, .timeout = 120)
{
    static const struct pair_setup wrong[] = {
        {.cert = "unrelated"}, {.cert = "wrong-name"}, {.cert = "expired"}, {.cert = "by-not-ca"}};
    for (int m = 0; m < 2; m++)
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            struct pair_setup how = wrong[i];
            how.server_method = methods[m];
            struct torture t = torture(&how, false, i == 0 ? 1 : TORTURE_STEP);
            cr_assert_gt(t.runs, 40);
            cr_assert_eq(t.done, 0, "%s accepted %llu times", how.cert, (unsigned long long)t.done);
        }
}

Test(tls_session, a_failed_allocation_is_told_as_such_and_leaves_nothing, .timeout = 120)
{
    for (int m = 0; m < 2; m++)
        for (int all = 0; all < 2; all++) {
            struct pair_setup how = {.cert = "chain", .server_method = methods[m]};
            struct torture t = torture(&how, all, TORTURE_STEP);
            cr_assert_gt(t.refused, 40);
            cr_assert_gt(t.done, 0); /* the last run: nothing failed */
        }
}

Test(tls_session, a_context_that_lacks_memory_does_not_exist, .timeout = 120)
{
    struct tls_rules rules = {.trusted = cert_file("trusted", ".pem"),
                              .certificate = cert_file("client", ".pem"),
                              .key = cert_file("client", ".key")};
    for (int all = 0; all < 2; all++)
        for (uint64_t n = 1;; n += 1 + n / 50) {
            char why[TLS_WHY_BYTES];
            struct tls_pool *pool = tls_pool_new(64 << 20);
            tls_pool_fail(pool, n, all);
            struct tls_context *c = tls_context_new(&rules, pool, NULL, why);
            uint64_t asked = tls_pool_asked(pool), refused = tls_pool_refused(pool);
            tls_pool_fail(pool, 0, false);
            if (c != NULL) {
                cr_assert_eq(refused, 0);
                cr_assert_lt(asked, n);
                tls_context_free(c);
            }
            cr_assert_eq(tls_pool_blocks(pool), 0, "allocation %llu", (unsigned long long)n);
            tls_pool_free(pool);
            if (c != NULL) break;
        }
}

Test(tls_session, a_context_says_what_it_could_not_use)
{
    struct tls_pool *pool = tls_pool_new(64 << 20);
    struct span good = cert_file("trusted", ".pem"), key = cert_file("client", ".key");
    const struct {
        struct tls_rules rules;
        const char *why;
    } cases[] = {
        {{.trusted = SPAN_LIT("")}, "trusted"},
        {{.trusted = SPAN_LIT("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")},
         "trusted"},
        {{.trusted = cert_file("rsa-1024", ".pem")}, "trusted"},
        {{.trusted = good, .certificate = SPAN_LIT("x"), .key = key}, "certificate"},
        {{.trusted = good, .certificate = cert_file("client", ".pem"), .key = SPAN_LIT("x")},
         "key"},
#ifdef OPENSSL_EXTRA
        {{.trusted = good,
          .certificate = cert_file("client", ".pem"),
          .key = cert_file("good-rsa", ".key")},
         "key"},
#endif
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[TLS_WHY_BYTES];
        cr_assert_null(tls_context_new(&cases[i].rules, pool, NULL, why), "case %zu", i);
        cr_assert(strstr(why, cases[i].why) != NULL, "case %zu: \"%s\"", i, why);
        cr_assert_eq(tls_pool_blocks(pool), 0);
    }
    tls_pool_free(pool);
}

/* What tls_has_room() demands must be enough for a handshake, whatever the chain. */
Test(tls_session, there_is_room_when_it_says_so)
{
    struct pair_setup how = {.cert = "chain", .pool_bytes = tls_memory_least()};
    struct pair *p = pair_new(&how);
    struct tls_session *open[64];
    enum { BALLAST = 64, LEFT_BYTES = 640 * 1024 };
    int count = 0;
    void *ballast[BALLAST] = {NULL};
#ifndef OPENSSL_ALL /* sessions are small: what is left has room for some tens of them */
    for (int i = 0; i < BALLAST; i++) {
        if (tls_pool_used_bytes(p->pool) + LEFT_BYTES > tls_pool_limit_bytes(p->pool)) break;
        ballast[i] = tls_pool_take(p->pool, 32 * 1024);
        cr_assert_not_null(ballast[i]);
    }
#endif
    for (bool room = true; room && count < 64;
         room = tls_has_room(p->context, SIZE_MAX, (uint32_t)count)) {
        if (count > 0) {
            server_begin(p, &how);
            cr_assert(client_begin(p, &how), "session %d", count);
        }
        cr_assert_eq(pair_shake(p), TLS_DONE, "session %d: %s", count, tls_detail(p->client));
        wolfSSL_free(p->server);
        p->server = NULL;
        open[count++] = p->client;
        p->client = NULL;
    }
    cr_assert_gt(count, 3);
    cr_assert_lt(count, 64);
    for (int i = 0; i < count; i++) tls_free(open[i]);
    for (int i = 0; i < BALLAST; i++) tls_pool_give(ballast[i]);
    server_begin(p, &how);
    pair_free(p);
}
