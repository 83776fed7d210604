/* tools/hookline/markup.c - see markup.h. */
#include "tools/hookline/markup.h"

#include "core/base/json_text.h"

/* What stands for an ASCII character, or NULL: itself. */
static const char *instead_of(char c, char picture[4])
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: break;
    }
    if ((unsigned char)c >= 0x20 && c != 0x7f) return NULL;
    unsigned char low = c == 0x7f ? 0x21 : (unsigned char)c; /* U+2400 + low */
    picture[0] = (char)0xe2;
    picture[1] = (char)0x90;
    picture[2] = (char)(0x80 | low);
    picture[3] = 0;
    return picture;
}

/* U+0080 to U+009F: control characters that take two bytes. */
static int is_late_control(struct span s)
{
    return s.len == 2 && (unsigned char)s.ptr[0] == 0xc2 && (unsigned char)s.ptr[1] < 0xa0;
}

void markup_text(FILE *out, const char *text)
{
    struct span rest = span_of(text, strlen(text));
    while (rest.len > 0) {
        char picture[4];
        struct span as;
        size_t taken = json_text_character(rest, &as);
        const char *instead = as.len == 1 ? instead_of(as.ptr[0], picture) : NULL;
        if (is_late_control(as)) instead = "\xef\xbf\xbd";
        if (instead != NULL) fputs(instead, out);
        else fwrite(as.ptr, 1, as.len, out);
        rest = span_of(rest.ptr + taken, rest.len - taken);
    }
}
