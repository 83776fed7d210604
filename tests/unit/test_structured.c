/* tests/unit/test_structured.c - goal: a field is read as RFC 9651 section 4.2 says, or refused.
 *
 * Method: a table of fields, each with what the parser must tell, written out by render() below,
 * or NULL where the whole field must be refused. Each field lies against memory that cannot be
 * read, so that a read beyond it crashes; a refused one must go on being refused.
 */
#include "core/http/structured.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COUNT(table) (sizeof table / sizeof table[0])
#define I            SF_KIND_ITEM
#define L            SF_KIND_LIST
#define D            SF_KIND_DICTIONARY

struct row {
    enum sf_kind kind;
    struct span field;
    const char *told; /* NULL: refused */
};
#define ROW(kind, field, told) \
    { \
        kind, SPAN_LIT(field), told \
    }

static const struct row rows[] = {
    /* Integers and decimals. */
    ROW(I, "0", " i0"),
    ROW(I, "-0", " i0"),
    ROW(I, "42", " i42"),
    ROW(I, "-42", " i-42"),
    ROW(I, "007", " i7"),
    ROW(I, "  42  ", " i42"),
    ROW(I, "999999999999999", " i999999999999999"),
    ROW(I, "-999999999999999", " i-999999999999999"),
    ROW(I, "000000000000001", " i1"),
    ROW(I, "0000000000000001", NULL),
    ROW(I, "1000000000000000", NULL),
    ROW(I, "-", NULL),
    ROW(I, "--1", NULL),
    ROW(I, "+1", NULL),
    ROW(I, "- 1", NULL),
    ROW(I, "1 2", NULL),
    ROW(I, "\t1", NULL),
    ROW(I, "1\t", NULL),
    ROW(I, "0x10", NULL),
    ROW(I, "1e3", NULL),
    ROW(I, "1.5", " d1500"),
    ROW(I, "-1.5", " d-1500"),
    ROW(I, "1.05", " d1050"),
    ROW(I, "1.005", " d1005"),
    ROW(I, "-0.0", " d0"),
    ROW(I, "999999999999.999", " d999999999999999"),
    ROW(I, "1234567890123.0", NULL),
    ROW(I, "1.0001", NULL),
    ROW(I, "1.", NULL),
    ROW(I, "-1.", NULL),
    ROW(I, ".5", NULL),
    ROW(I, "-.5", NULL),
    ROW(I, "1.2.3", NULL),
    ROW(I, "1.-2", NULL),

    /* Strings. */
    ROW(I, "\"\"", " s''"),
    ROW(I, "\"a b;c,d\"", " s'a b;c,d'"),
    ROW(I, "\"a\\\"b\\\\\"", " s'a\\\"b\\\\'"),
    ROW(I, "\"~ !\"", " s'~ !'"),
    ROW(I, "\"", NULL),
    ROW(I, "\"a", NULL),
    ROW(I, "\"a\\\"", NULL),
    ROW(I, "\"a\\", NULL),
    ROW(I, "\"a\\n\"", NULL),
    ROW(I, "\"a\tb\"", NULL),
    ROW(I, "\"a\x7f\"", NULL),
    ROW(I, "\"a\x1f\"", NULL),
    ROW(I, "\"a\0b\"", NULL),
    ROW(I, "\"\xc3\xa4\"", NULL),
    ROW(I, "'a'", NULL),
    ROW(I, "\"a\"b", NULL),

    /* Tokens. */
    ROW(I, "a", " ta"),
    ROW(I, "A-b_c.d:e/f%g", " tA-b_c.d:e/f%g"),
    ROW(I, "*", " t*"),
    ROW(I, "*a!#$%&'*+-.^_`|~9", " t*a!#$%&'*+-.^_`|~9"),
    ROW(I, "a=b", NULL),
    ROW(I, "a,b", NULL),
    ROW(I, "_a", NULL),
    ROW(I, "a\"b\"", NULL),
    ROW(I, "\xe4", NULL),

    /* Byte sequences. */
    ROW(I, "::", " b''"),
    ROW(I, ":aGVsbG8=:", " b'aGVsbG8='"),
    ROW(I, ":aGVsbG8:", " b'aGVsbG8'"),
    ROW(I, ":aGVsbA==:", " b'aGVsbA=='"),
    ROW(I, ":iZ==:", " b'iZ=='"),
    ROW(I, ":+/+/:", " b'+/+/'"),
    ROW(I, ":a:", NULL),
    ROW(I, ":aGVsbG8==:", NULL),
    ROW(I, ":aGVsb===:", NULL),
    ROW(I, ":====:", NULL),
    ROW(I, ":=aGVsbG8:", NULL),
    ROW(I, ":aGV=bG8=:", NULL),
    ROW(I, ":aGVs bG8=:", NULL),
    ROW(I, ":_-_-:", NULL),
    ROW(I, ":aGVsbG8=", NULL),
    ROW(I, ":", NULL),

    /* Booleans and dates. */
    ROW(I, "?0", " ?0"),
    ROW(I, "?1", " ?1"),
    ROW(I, "?2", NULL),
    ROW(I, "?", NULL),
    ROW(I, "?10", NULL),
    ROW(I, "?T", NULL),
    ROW(I, "@0", " @0"),
    ROW(I, "@1659578233", " @1659578233"),
    ROW(I, "@-62135596800", " @-62135596800"),
    ROW(I, "@1659578233.5", NULL),
    ROW(I, "@", NULL),
    ROW(I, "@a", NULL),

    /* Display strings. */
    ROW(I, "%\"\"", " %''"),
    ROW(I, "%\"a b\"", " %'a b'"),
    ROW(I, "%\"f%c3%bc\"", " %'f%c3%bc'"),
    ROW(I, "%\"%00%22%25\"", " %'%00%22%25'"),
    ROW(I, "%\"%f0%9f%98%80\"", " %'%f0%9f%98%80'"),
    ROW(I, "%\"%e0%a0%80%ed%9f%bf%f4%8f%bf%bf\"", " %'%e0%a0%80%ed%9f%bf%f4%8f%bf%bf'"),
    ROW(I, "%\"f%C3%BC\"", NULL),
    ROW(I, "%\"f%c3\"", NULL),
    ROW(I, "%\"%c3a\"", NULL),
    ROW(I, "%\"%bc\"", NULL),
    ROW(I, "%\"%c0%80\"", NULL),
    ROW(I, "%\"%e0%9f%bf\"", NULL),
    ROW(I, "%\"%ed%a0%80\"", NULL),
    ROW(I, "%\"%f0%8f%bf%bf\"", NULL),
    ROW(I, "%\"%f4%90%80%80\"", NULL),
    ROW(I, "%\"%f5%80%80%80\"", NULL),
    ROW(I, "%\"%ff\"", NULL),
    ROW(I, "%\"%e2%82\"", NULL),
    ROW(I, "%\"%e2%82%ac%80\"", NULL),
    ROW(I, "%\"%\"", NULL),
    ROW(I, "%\"%2\"", NULL),
    ROW(I, "%\"%2g\"", NULL),
    ROW(I, "%\"%2", NULL),
    ROW(I, "%\"\xc3\xbc\"", NULL),
    ROW(I, "%\"a\tb\"", NULL),
    ROW(I, "%\"a", NULL),
    ROW(I, "%a", NULL),
    ROW(I, "%", NULL),

    /* Parameters. */
    ROW(I, "1;a", " i1;a=?1"),
    ROW(I, "1;a=2;b=\"x\";*c=t", " i1;a=i2;b=s'x';*c=tt"),
    ROW(I, "1;  a=2;   b", " i1;a=i2;b=?1"),
    ROW(I, "1;a=1;a=2", " i1;a=i1;a=i2"),
    ROW(I, "1;a_1-.*=?0", " i1;a_1-.*=?0"),
    ROW(I, "1;", NULL),
    ROW(I, "1;;a", NULL),
    ROW(I, "1 ;a", NULL),
    ROW(I, "1;a =2", NULL),
    ROW(I, "1;a= 2", NULL),
    ROW(I, "1;a=", NULL),
    ROW(I, "1;\ta", NULL),
    ROW(I, "1;A=2", NULL),
    ROW(I, "1;1a=2", NULL),
    ROW(I, "1;_a=2", NULL),
    ROW(I, "1;a=(1)", NULL),

    /* Items as such. */
    ROW(I, "", NULL),
    ROW(I, "   ", NULL),
    ROW(I, "(1)", NULL),
    ROW(I, "1,2", NULL),
    ROW(I, "1,", NULL),

    /* Lists. */
    ROW(L, "", ""),
    ROW(L, "  ", ""),
    ROW(L, "1", " i1"),
    ROW(L, "1,2", " i1 i2"),
    ROW(L, "  1 \t,\t 2  ", " i1 i2"),
    ROW(L, "a;x=1, (b c;y);z", " ta;x=i1 (tb tc;y=?1);z=?1"),
    ROW(L, "()", " ()"),
    ROW(L, "(   ), (  1   2 )", " () (i1 i2)"),
    ROW(L, "\"default\";r=50;t=30", " s'default';r=i50;t=i30"),
    ROW(L, "\"a\"; r=1, \"b\"; r=2", " s'a';r=i1 s'b';r=i2"),
    ROW(L, ",", NULL),
    ROW(L, "1,", NULL),
    ROW(L, "1, ", NULL),
    ROW(L, ",1", NULL),
    ROW(L, "1,,2", NULL),
    ROW(L, "1 2", NULL),
    ROW(L, "1;a 2", NULL),
    ROW(L, "\t1", NULL),
    ROW(L, "(", NULL),
    ROW(L, "(1", NULL),
    ROW(L, "(1 ", NULL),
    ROW(L, ")", NULL),
    ROW(L, "(1,2)", NULL),
    ROW(L, "(1\t2)", NULL),
    ROW(L, "(\"a\"\"b\")", NULL),
    ROW(L, "((1))", NULL),
    ROW(L, "(1)2", NULL),
    ROW(L, "(1;)", NULL),
    ROW(L, "limit=100", NULL),
    ROW(L, "1, 2, \"", NULL),
    ROW(L, "\xff", NULL),
    ROW(L, "\0", NULL),

    /* Dictionaries. */
    ROW(D, "", ""),
    ROW(D, "limit=100, remaining=50, reset=5", " limit=i100 remaining=i50 reset=i5"),
    ROW(D, "a, b;x, c=?0", " a=?1 b=?1;x=?1 c=?0"),
    ROW(D, "a=(1 2);x=1,b=3", " a=(i1 i2);x=i1 b=i3"),
    ROW(D, "a=1;x\t,\tb=2", " a=i1;x=?1 b=i2"),
    ROW(D, "a=1, a=2", " a=i1 a=i2"),
    ROW(D, "a=", NULL),
    ROW(D, "a =1", NULL),
    ROW(D, "a= 1", NULL),
    ROW(D, "A=1", NULL),
    ROW(D, "=1", NULL),
    ROW(D, "1", NULL),
    ROW(D, "a=1,", NULL),
    ROW(D, "a=1 b=2", NULL),
    ROW(D, "a=b=c", NULL),
    ROW(D, "\"a\"=1", NULL),
};

/* ---- What the parser tells, as text. ---- */

struct text {
    char bytes[512];
    size_t len;
};

static void put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->bytes + t->len, sizeof t->bytes - t->len, format, args);
    va_end(args);
    cr_assert(n >= 0 && (size_t)n < sizeof t->bytes - t->len, "a row is too long");
    t->len += (size_t)n;
}

static void put_value(struct text *t, const struct sf_value *v)
{
    static const char marks[] = "-idstb?@%";
    put(t, "%c", marks[v->type]);
    switch ((enum sf_type)v->type) {
    case SF_NONE: break;
    case SF_INTEGER:
    case SF_DECIMAL:
    case SF_BOOLEAN:
    case SF_DATE: put(t, "%" PRId64, v->number); break;
    case SF_STRING:
    case SF_BYTES:
    case SF_DISPLAY: put(t, "'%.*s'", (int)v->text.len, v->text.ptr); break;
    case SF_TOKEN: put(t, "%.*s", (int)v->text.len, v->text.ptr); break;
    }
}

/* The events of one field; false when it was refused. */
static bool render(struct text *t, enum sf_kind kind, struct span field)
{
    struct sf s;
    bool first_inside = false; /* the last event began an inner list */
    t->len = 0;
    t->bytes[0] = '\0';
    sf_begin(&s, kind, field);
    for (enum sf_event e = sf_next(&s); e != SF_END; e = sf_next(&s)) {
        if (e == SF_BAD) {
            cr_assert(sf_next(&s) == SF_BAD, "bad is not the end");
            return false;
        }
        bool member = e == SF_INNER || (e == SF_ITEM && !s.inner);
        if ((e == SF_ITEM || e == SF_INNER) && !first_inside) put(t, " ");
        if (e == SF_PARAM) put(t, ";");
        if (e == SF_PARAM || (member && kind == SF_KIND_DICTIONARY)) {
            put(t, "%.*s=", (int)s.key.len, s.key.ptr);
        }
        if (e == SF_ITEM || e == SF_PARAM) put_value(t, &s.value);
        if (e == SF_INNER) put(t, "(");
        if (e == SF_INNER_END) put(t, ")");
        first_inside = e == SF_INNER;
    }
    cr_assert(sf_next(&s) == SF_END, "the end is not the end");
    return true;
}

/* A copy whose end is the end of what can be read. */
static struct span fenced(struct span text)
{
    static char *fence;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (fence == NULL) {
        char *map =
            mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        cr_assert(map != MAP_FAILED);
        cr_assert(mprotect(map + page, page, PROT_NONE) == 0);
        fence = map + page;
    }
    cr_assert(text.len <= page);
    return span_of(memcpy(fence - text.len, text.ptr, text.len), text.len);
}

Test(structured, rows)
{
    static struct text t;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool good = render(&t, rows[i].kind, fenced(rows[i].field));
        cr_expect(good == (rows[i].told != NULL), "%s: %s, told %s", rows[i].field.ptr,
                  good ? "taken" : "refused", t.bytes);
        if (good && rows[i].told != NULL) {
            cr_expect(strcmp(t.bytes, rows[i].told) == 0, "%s: told %s", rows[i].field.ptr,
                      t.bytes);
        }
    }
}

/* A good item is a list of one member as well, and one with an inner list around it is too. */
Test(structured, items_in_lists)
{
    static struct text item, list;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (rows[i].kind != SF_KIND_ITEM || rows[i].told == NULL) continue;
        char field[256];
        int n = snprintf(field, sizeof field, "(%.*s)", (int)rows[i].field.len, rows[i].field.ptr);
        cr_assert(render(&item, SF_KIND_ITEM, rows[i].field));
        cr_assert(render(&list, SF_KIND_LIST, rows[i].field), "%s", rows[i].field.ptr);
        cr_assert_str_eq(item.bytes, list.bytes);
        cr_assert(render(&list, SF_KIND_LIST, fenced(span_of(field, (size_t)n))), "%s", field);
        cr_assert(strncmp(list.bytes + 2, item.bytes + 1, item.len - 1) == 0, "%s", list.bytes);
        cr_assert_not(render(&list, SF_KIND_ITEM, span_of(field, (size_t)n)), "%s", field);
    }
}

Test(structured, no_bytes_at_all)
{
    static struct text t;
    cr_assert(render(&t, SF_KIND_LIST, span_of(NULL, 0)));
    cr_assert(render(&t, SF_KIND_DICTIONARY, span_of(NULL, 0)));
    cr_assert_not(render(&t, SF_KIND_ITEM, span_of(NULL, 0)));
}
