/* What audio threads call allocates nothing, frees nothing, locks nothing and makes no system call: the
 * linker puts the functions below before the library's own.
 *
 *   realtime MODEL.json ...
 *
 * Link with -Wl,--wrap=NAME for each NAME below (tests/run.sh does).
 */
#define _GNU_SOURCE
#include "fused_rnn.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t calls;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *at, size_t size);
void __real_free(void *at);
int __real_posix_memalign(void **at, size_t alignment, size_t size);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);
void __wrap_free(void *at);
int __wrap_posix_memalign(void **at, size_t alignment, size_t size);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

void *__wrap_malloc(size_t size) {
    calls++;
    return __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size) {
    calls++;
    return __real_calloc(count, size);
}
void *__wrap_realloc(void *at, size_t size) {
    calls++;
    return __real_realloc(at, size);
}
void __wrap_free(void *at) {
    calls++;
    __real_free(at);
}
int __wrap_posix_memalign(void **at, size_t alignment, size_t size) {
    calls++;
    return __real_posix_memalign(at, alignment, size);
}
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    calls++;
    return __real_pthread_mutex_lock(mutex);
}
/* Rust's locks and waits are the system call futex. */
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f) {
    calls++;
    return __real_syscall(number, a, b, c, d, e, f);
}

static void check(frnn_result result) {
    if (result != FRNN_RESULT_OK) {
        fprintf(stderr, "%s\n", frnn_last_error());
        exit(1);
    }
}

static void run(const frnn_model *model, size_t rows, double ratio) {
    static float x[1000 * 8], y[1000 * 8], state[100000];
    static const size_t blocks[] = {64, 1, 1000, 63, 65, 2, 128, 1, 1};
    size_t inputs = frnn_model_inputs(model), outputs = frnn_model_outputs(model), k, before, count;
    const float *from[8];
    float *to[8];
    frnn_stream *stream = NULL;
    if (rows * (inputs > outputs ? inputs : outputs) > 8) exit(2);
    before = calls;
    check(frnn_stream_create(model, rows, ratio, &stream));
    if (calls == before) {
        fprintf(stderr, "the count counts nothing\n");
        exit(1);
    }
    for (k = 0; k < 1000 * 8; k++) x[k] = (float)(k % 17) / 17.0f;
    for (k = 0; k < 8; k++) {
        from[k] = x + 1000 * k;
        to[k] = y + 1000 * k;
    }
    before = calls;
    for (k = 0; k < sizeof blocks / sizeof *blocks; k++) {
        check(frnn_stream_process(stream, x, y, blocks[k]));
        check(frnn_stream_process_planar(stream, from, to, blocks[k]));
    }
    count = frnn_stream_state_count(stream);
    if (count > sizeof state / sizeof *state) exit(2);
    check(frnn_stream_get_state(stream, state, count));
    check(frnn_stream_set_state(stream, state, count));
    check(frnn_stream_settle(stream, 100));
    check(frnn_stream_reset(stream));
    if (calls != before) {
        fprintf(stderr, "%zu rows, ratio %g: %zu calls of the system\n", rows, ratio, calls - before);
        exit(1);
    }
    frnn_stream_destroy(stream);
}

/* A network in a stream, and over sequences on one thread: from the second call on, whatever the lengths. */
static void network_of(uint32_t cell, uint32_t precision) {
    enum { BATCH = 3, STEPS = 40, INPUT = 4, HIDDEN = 20 };
    static const size_t lengths[2][BATCH] = {{1, 0, 3}, {STEPS, 7, STEPS}};
    static float x[BATCH * STEPS * INPUT], y[BATCH * STEPS * HIDDEN];
    size_t before, k;
    frnn_builder *builder = NULL;
    frnn_network *network = NULL;
    frnn_pass *pass = NULL;
    frnn_model *model = NULL;
    check(frnn_builder_create(cell, INPUT, HIDDEN, &builder));
    check(frnn_builder_set_layers(builder, 2));
    check(frnn_builder_set_precision(builder, precision));
    check(frnn_builder_set_threads(builder, 1));
    check(frnn_builder_build(builder, &network));
    frnn_builder_destroy(builder);
    check(frnn_pass_create(network, BATCH, STEPS, &pass));
    for (k = 0; k < sizeof x / sizeof *x; k++) x[k] = (float)(k % 13) / 13.0f;
    check(frnn_pass_set_lengths(pass, lengths[0], BATCH));
    check(frnn_pass_forward(pass, network, x, sizeof x / sizeof *x, y, sizeof y / sizeof *y));
    check(frnn_pass_set_lengths(pass, lengths[1], BATCH));
    before = calls;
    for (k = 0; k < 3; k++) {
        check(frnn_pass_forward(pass, network, x, sizeof x / sizeof *x, y, sizeof y / sizeof *y));
        check(frnn_pass_forward(pass, network, x, sizeof x / sizeof *x, NULL, 0));
        check(frnn_pass_reset_state(pass));
    }
    if (calls != before) {
        fprintf(stderr, "a pass, cell %u, precision %u: %zu calls of the system\n", (unsigned)cell,
                (unsigned)precision, calls - before);
        exit(1);
    }
    frnn_pass_destroy(pass);

    check(frnn_model_create(INPUT, &model));
    check(frnn_model_add_network(model, network));
    check(frnn_model_add_dense(model, 1, x, HIDDEN, NULL, 0));
    run(model, 1, 1.0);
    run(model, 2, 1.5);
    frnn_model_destroy(model);
    frnn_network_destroy(network);
}

int main(int argc, char **argv) {
    uint32_t cell, precision;
    static uint8_t bytes[1 << 20];
    int file;
    for (cell = FRNN_CELL_LSTM; cell <= FRNN_CELL_ELMAN_RELU; cell++)
        for (precision = FRNN_PRECISION_F32; precision <= FRNN_PRECISION_INT8; precision++)
            network_of(cell, precision);
    for (file = 1; file < argc; file++) {
        frnn_model *model = NULL;
        FILE *opened = fopen(argv[file], "rb");
        size_t size, rows;
        if (opened == NULL) return 2;
        size = fread(bytes, 1, sizeof bytes, opened);
        fclose(opened);
        check(frnn_model_load(bytes, size, &model));
        for (rows = 1; rows <= 2; rows++) {
            run(model, rows, 1.0);
            run(model, rows, 3.0);
            run(model, rows, 1.7);
        }
        frnn_model_destroy(model);
    }
    printf("%d models: no allocation, lock or system call\n", argc - 1);
    return argc > 1 ? 0 : 2;
}
