/* A model of an audio plug-in runs over a tone, block by block, as a host would call it.
 *
 *   stream MODEL.json [SAMPLE_RATE]      a file of RTNeural, AIDA-X, GuitarML or NAM; 48000 hertz without one
 */
#include "fused_rnn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK 64

static void check(frnn_result result) {
    if (result != FRNN_RESULT_OK) {
        fprintf(stderr, "%s: %s\n", frnn_result_text(result), frnn_last_error());
        exit(1);
    }
}

/* The bytes of a file. */
static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    size_t room = 0, count = 1;
    *size = 0;
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    while (count > 0) {
        if (*size == room) {
            room = room ? 2 * room : 1 << 16;
            bytes = realloc(bytes, room);
            if (bytes == NULL) exit(1);
        }
        count = fread(bytes + *size, 1, room - *size, file);
        *size += count;
    }
    fclose(file);
    return bytes;
}

int main(int argc, char **argv) {
    double rate = argc > 2 ? atof(argv[2]) : 48000.0, sum = 0.0;
    frnn_model *model = NULL;
    frnn_stream *stream = NULL;
    uint8_t *bytes;
    size_t size, inputs, outputs, block, frame;
    float *x, *y;

    if (argc < 2) {
        fprintf(stderr, "usage: stream MODEL.json [SAMPLE_RATE]\n");
        return 2;
    }
    bytes = read_file(argv[1], &size);
    check(frnn_model_load(bytes, size, &model));
    free(bytes);
    inputs = frnn_model_inputs(model);
    outputs = frnn_model_outputs(model);
    printf("%zu inputs, %zu outputs, ", inputs, outputs);
    printf("trained at %.0f hertz\n", frnn_model_sample_rate(model));

    /* All memory is allocated here; the model is not needed any more. */
    check(frnn_stream_create(model, 1, frnn_model_ratio_for(model, rate), &stream));
    frnn_model_destroy(model);
    check(frnn_stream_settle(stream, (size_t)(rate / 2)));

    x = calloc(BLOCK * inputs, sizeof *x);
    y = calloc(BLOCK * outputs, sizeof *y);
    if (x == NULL || y == NULL) return 1;
    for (block = 0; block < 500; block++) {
        for (frame = 0; frame < BLOCK; frame++) {
            double seconds = (double)(block * BLOCK + frame) / rate;
            x[frame * inputs] = 0.5f * (float)sin(2.0 * 3.14159265 * 220.0 * seconds);
        }
        check(frnn_stream_process(stream, x, y, BLOCK));
        for (frame = 0; frame < BLOCK; frame++) sum += (double)y[frame * outputs] * y[frame * outputs];
    }
    printf("root mean square of the output: %.4f\n", sqrt(sum / (500.0 * BLOCK)));
    free(x);
    free(y);
    frnn_stream_destroy(stream);
    return 0;
}
