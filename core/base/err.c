/* core/base/err.c - the table of endings, as data; see err.h. */
#include "core/base/err.h"

#include "core/base/check.h"

struct err_row {
    const char *label, *text;
    enum err_class class;
};

#define ERR_ROW(name, label, class, text) [ERR_##name] = {label, text, ERR_CLASS_##class},
static const struct err_row rows[ERR_COUNT] = {ERR_TABLE(ERR_ROW)};
#undef ERR_ROW

const char *err_label(enum err e)
{
    CHECK(e < ERR_COUNT);
    return rows[e].label;
}

const char *err_text(enum err e)
{
    CHECK(e < ERR_COUNT);
    return rows[e].text;
}

enum err_class err_class_of(enum err e)
{
    CHECK(e < ERR_COUNT);
    return rows[e].class;
}
