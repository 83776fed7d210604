/* tls/show.c - see show.h. */
#include "tls/show.h"

#include "core/base/check.h"
#include "tls/x509.h"

#include <arpa/inet.h>
#include <string.h>

void tls_chain_add(struct tls_chain *c, struct span der)
{
    CHECK(c != NULL);
    uint32_t used = c->count > 0 ? c->end[c->count - 1] : 0;
    c->shown++;
    if (c->count == TLS_CHAIN_MAX || der.len > sizeof c->der - used) return;
    memcpy(c->der + used, der.ptr, der.len);
    c->end[c->count++] = used + (uint32_t)der.len;
}

struct span tls_chain_at(const struct tls_chain *c, uint32_t index)
{
    CHECK(c != NULL);
    CHECK(index < c->count);
    uint32_t from = index > 0 ? c->end[index - 1] : 0;
    return span_of(c->der + from, c->end[index] - from);
}

/* Where text is gathered; what does not fit is cut. */
struct text {
    char *at;
    size_t room; /* without the terminator */
};

static struct text text_of(char *out, size_t size)
{
    out[0] = '\0';
    return (struct text){out, size - 1};
}

static void put(struct text *t, struct span s)
{
    for (size_t i = 0; i < s.len && t->room > 0; i++) {
        if (s.ptr[i] == '\0') continue;
        *t->at++ = s.ptr[i];
        t->room--;
    }
    *t->at = '\0';
}

static void put_text(struct text *t, const char *text) { put(t, span_of(text, strlen(text))); }

static const char *attribute_name(struct span oid)
{
    static const struct {
        char last;
        const char *name;
    } known[] = {{3, "CN"}, {6, "C"}, {7, "L"}, {8, "ST"}, {10, "O"}, {11, "OU"}};
    if (oid.len != 3 || oid.ptr[0] != 0x55 || oid.ptr[1] != 0x04) return "?"; /* not 2.5.4.x */
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (oid.ptr[2] == known[i].last) return known[i].name;
    return "?";
}

/* A Name: a SEQUENCE of SETs of SEQUENCE { OID, value }. */
static bool put_name(struct text *t, struct span name)
{
    struct der list, set, pair, oid, value;
    bool first = true;
    if (!der_take(&name, DER_SEQUENCE, &list)) return false;
    while (list.body.len > 0) {
        if (!der_take(&list.body, DER_SET, &set)) return false;
        while (set.body.len > 0) {
            if (!der_take(&set.body, DER_SEQUENCE, &pair)) return false;
            if (!der_take(&pair.body, DER_OID, &oid) || !der_next(&pair.body, &value)) return false;
            if (!first) put_text(t, ", ");
            first = false;
            put_text(t, attribute_name(oid.body));
            put_text(t, "=");
            put(t, value.body);
        }
    }
    return true;
}

/* YYMMDDHHMMSSZ, of 1950 to 2049, or YYYYMMDDHHMMSSZ (RFC 5280 section 4.1.2.5). */
static bool put_time(struct text *t, struct span *times)
{
    struct der e;
    if (!der_next(times, &e)) return false;
    bool utc = e.tag == DER_TIME_UTC && e.body.len == 13;
    if (!utc && (e.tag != DER_TIME_GENERAL || e.body.len != 15)) return false;
    const char *p = e.body.ptr;
    if (utc) put_text(t, p[0] >= '5' ? "19" : "20");
    else p += 2, put(t, span_of(e.body.ptr, 2));
    static const char *const before[] = {"", "-", "-", "T", ":", ":"};
    for (int i = 0; i < 6; i++) {
        put_text(t, before[i]);
        put(t, span_of(p + 2 * i, 2));
    }
    put_text(t, "Z");
    return true;
}

static bool put_alt_names(struct text *t, struct span names)
{
    struct der list, name;
    bool first = true;
    if (!der_take(&names, DER_SEQUENCE, &list)) return false;
    while (list.body.len > 0) {
        char ip[INET6_ADDRSTRLEN] = "?";
        if (!der_next(&list.body, &name)) return false;
        if (!first) put_text(t, ", ");
        first = false;
        if (name.tag == X509_SAN_DNS || name.tag == X509_SAN_MAIL || name.tag == X509_SAN_URI) {
            put(t, name.body);
            continue;
        }
        if (name.tag == X509_SAN_IP && name.body.len == 4)
            inet_ntop(AF_INET, name.body.ptr, ip, sizeof ip);
        else if (name.tag == X509_SAN_IP && name.body.len == 16)
            inet_ntop(AF_INET6, name.body.ptr, ip, sizeof ip);
        put_text(t, ip);
    }
    return true;
}

bool tls_cert_show(struct span der, struct tls_cert_text *out)
{
    struct x509 c;
    struct span names;
    if (!x509_of(der, &c) || !x509_alt_names(&c, &names)) return false;
    struct text subject = text_of(out->subject, sizeof out->subject);
    struct text issuer = text_of(out->issuer, sizeof out->issuer);
    struct text from = text_of(out->from, sizeof out->from);
    struct text until = text_of(out->until, sizeof out->until);
    struct text alt = text_of(out->names, sizeof out->names);
    return put_name(&subject, c.subject) && put_name(&issuer, c.issuer) &&
           put_time(&from, &c.validity) && put_time(&until, &c.validity) &&
           (names.ptr == NULL || put_alt_names(&alt, names));
}
