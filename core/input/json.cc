/* core/input/json.cc - simdjson's stage 1 behind the C of json.h; the program's only C++.
 *
 * The library chooses its kernel for this machine's instruction set on first use. Nothing here
 * throws or prints: exceptions are off, every allocation is nothrow, errors are codes.
 *
 * Stage 1 reads exactly len bytes (its last block is copied out and padded, simdjson 3.0.1
 * src/generic/stage1/buf_block_reader.h), so a line may stand in a buffer among others.
 */
#define SIMDJSON_EXCEPTIONS 0
#include "core/input/json.h"

#include <memory>
#include <new>
#include <simdjson.h>

struct json {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> impl;
};

extern "C" struct json *json_new(uint32_t text_bytes_max)
{
    /* The library's own limit is 4 GiB; two tokens more than bytes are reserved by it. */
    if (text_bytes_max > simdjson::SIMDJSON_MAXSIZE_BYTES - 64) return nullptr;
    struct json *j = new (std::nothrow) json;
    if (j == nullptr) return nullptr;
    const simdjson::implementation *kernel = simdjson::get_active_implementation();
    /* A depth of 1: only the library's tree builder, which is not used, has need of more. */
    if (kernel->create_dom_parser_implementation(size_t(text_bytes_max) + 64, 1, j->impl) !=
        simdjson::SUCCESS) {
        delete j;
        return nullptr;
    }
    return j;
}

extern "C" void json_free(struct json *j) { delete j; }

extern "C" const char *json_backend(void)
{
    static const char *const names[] = {"icelake", "haswell", "westmere",
                                        "arm64",   "ppc64",   "fallback"};
    const simdjson::implementation *kernel = simdjson::get_active_implementation();
    for (const char *name : names)
        if (kernel->name() == name) return name;
    return "unknown";
}

extern "C" bool json_index(struct json *j, const char *text, uint32_t len, const uint32_t **tokens,
                           uint32_t *count)
{
    const uint8_t *bytes = reinterpret_cast<const uint8_t *>(text);
    if (j->impl->stage1(bytes, len, simdjson::stage1_mode::regular) != simdjson::SUCCESS)
        return false;
    uint32_t n = j->impl->n_structural_indexes;
    if (n == 0) return false;
    uint32_t *index = j->impl->structural_indexes.get();
    index[n] = index[n - 1]; /* see struct json_walk */
    *tokens = index;
    *count = n;
    return true;
}
