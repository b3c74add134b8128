// Gather-Excite on a CPU, forward and backward: y = x * up(sigmoid(p)), where p are the means of x
// over clipped windows, or given, or (forward) gathered from x by convolutions. Compiled by ge_cpu.py;
// nothing here knows of PyTorch.
//
// A tile is one plane, or LANES planes side by side (the channels of channels_last; small maps). It
// stays in the nearest cache, so that memory is read once and written once. Within a tile, a row is
// `width * L` floats, whatever the type and the layout outside.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>
#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace {

constexpr long LANES = 16;
constexpr long CHUNK = 256 * LANES;
constexpr long STRIP = 1024;  // channels: as a rule all, so that memory is read as it lies
constexpr long CACHED_BYTES = 8 << 20;  // an output beyond this is gone from the caches when it is read

// --- elements --------------------------------------------------------------------------------

struct Bf16 {
    uint16_t bits;
};

template <class To, class From>
inline To bits_of(From value) {
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}

inline float load(float x) { return x; }
inline float load(Bf16 x) { return bits_of<float>(uint32_t(x.bits) << 16); }
inline void store(float &to, float value) { to = value; }
inline void store(Bf16 &to, float value) {  // to nearest, ties to even
    uint32_t bits = bits_of<uint32_t>(value);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    to.bits = uint16_t(value == value ? rounded : 0x7fc0);
}

// 1 / (1 + exp(-p)) to a few units in the last place; exp by Cephes' polynomial, free of branches.
inline float sigmoid(float p) {
    float z = -p;
    z = z < 87.0f ? z : 87.0f;
    z = z > -87.0f ? z : -87.0f;
    float shifted = z * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2^23: to whole numbers
    float n = shifted - 12582912.0f;
    float r = z - n * 0.693359375f + n * 2.12194440e-4f;
    float q = 1.9875691500e-4f;
    q = q * r + 1.3981999507e-3f;
    q = q * r + 8.3334519073e-3f;
    q = q * r + 4.1665795894e-2f;
    q = q * r + 1.6666665459e-1f;
    q = q * r + 5.0000001201e-1f;
    q = q * r * r + r + 1.0f;
    uint32_t power = bits_of<uint32_t>(shifted) + 127;
    float value = 1.0f / (1.0f + q * bits_of<float>(power << 23));
    value = p < -87.0f ? 0.0f : value;  // so that an infinity times no gate is no number
    return p == p ? value : p;
}

// --- geometry --------------------------------------------------------------------------------

struct Geometry {
    long height, width, h, w, extent;
    const int32_t *row_of, *column_of;  // which gate an element takes, as F.interpolate has it
    bool in_blocks;                     // whether that is column / extent throughout
};

// Where the elements of a tile lie: pixel and lane strides, and how many lanes are there.
struct Layout {
    long pixel, lane, lanes;
};

template <long L, class T>
void read_tile(float *tile, const T *from, long pixels, Layout at) {
    if (at.lanes < L) std::memset(tile, 0, sizeof(float) * pixels * L);
    if (at.lane == 1 && at.lanes == L) {
        for (long i = 0; i < pixels; i++)
            for (long l = 0; l < L; l++) tile[i * L + l] = load(from[i * at.pixel + l]);
    } else {
        for (long l = 0; l < at.lanes; l++)
            for (long i = 0; i < pixels; i++) tile[i * L + l] = load(from[i * at.pixel + l * at.lane]);
    }
}

template <long L, class T>
void write_tile(T *to, const float *tile, long pixels, Layout at) {
    if (at.lane == 1 && at.lanes == L) {
        for (long i = 0; i < pixels; i++)
            for (long l = 0; l < L; l++) store(to[i * at.pixel + l], tile[i * L + l]);
    } else {
        for (long l = 0; l < at.lanes; l++)
            for (long i = 0; i < pixels; i++) store(to[i * at.pixel + l * at.lane], tile[i * L + l]);
    }
}

// A plane that will not stay in a cache goes to memory past it, or each line would be read first.
void write_past_caches(float *to, const float *from, long n) {
    long i = 0;
#if defined(__AVX__)
    for (; i < n && reinterpret_cast<uintptr_t>(to + i) % 32; i++) to[i] = from[i];
    for (; i + 8 <= n; i += 8) _mm256_stream_ps(to + i, _mm256_loadu_ps(from + i));
#endif
    for (; i < n; i++) to[i] = from[i];
}

inline long window(long index, long extent, long size) {
    long from = index * extent - extent + 1, to = index * extent + extent;
    return (to < size ? to : size) - (from > 0 ? from : 0);
}

// --- scratch ---------------------------------------------------------------------------------

// Arrays begin at cache lines, because malloc's places differ between processes. Where 8 floats of
// `tail` lie across two pages, each row waits for them, and a call takes 1.2 to 1.45 times as long.
template <class T>
struct InLines {
    typedef T value_type;
    static constexpr std::align_val_t LINE{64};
    InLines() = default;
    template <class U>
    InLines(InLines<U>) {}
    T *allocate(size_t n) { return static_cast<T *>(::operator new(n * sizeof(T), LINE)); }
    void deallocate(T *memory, size_t) { ::operator delete(memory, LINE); }
    bool operator==(InLines) const { return true; }
    bool operator!=(InLines) const { return false; }
};
typedef std::vector<float, InLines<float>> Floats;

// --- one tile --------------------------------------------------------------------------------
//
// What belongs to the gates' rows lies in rows of (w + 1) * e elements, the last of them zeros: a group
// of e for each gate, and one behind. So a loop over groups knows no rows: what a window takes from
// the group before its own is zero at a row's beginning, and short rows make long loops all the same.
// The rows are gone through in bands: all of them at once, unless they would fill the nearest cache.

constexpr long BAND = 4096;  // elements
constexpr long STEP = 8;
typedef float Vec __attribute__((vector_size(4 * STEP)));
typedef float Side __attribute__((vector_size(4 * LANES)));

template <class V>
inline V get(const float *from) {
    V value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <class V, class T>
inline V load_as(const T *from) {
    float values[sizeof(V) / sizeof(float)];
    for (size_t l = 0; l < sizeof(V) / sizeof(float); l++) values[l] = load(from[l]);
    return get<V>(values);
}

template <class V>
inline void put(float *to, V value) {
    std::memcpy(to, &value, sizeof value);
}

// f(kind, j) for n elements, 8 at a time: so up to 7 beyond the end, where there is room for them.
template <class F>
inline void in_steps(long n, long room, F f) {
    const long whole = (n + STEP - 1) / STEP * STEP <= room ? n : n / STEP * STEP;
    for (long j = 0; j < whole; j += STEP) f(Vec{}, j);
    for (long j = whole; j < n; j++) f(float{}, j);
}

// Scratch of one thread, for tiles of one geometry.
template <long L>
struct Scratch {
    long row, before;  // elements of a row of groups, and of zeros before the first
    long band;         // rows
    Floats gate, share, slope;  // (h + 1) x (w + 1); share: one over a window's elements
    Floats tail, sums, up, both, spread, spread_of_both;
    Floats zeros, here, left, maps[2];  // of the convolutions

    Scratch(const Geometry &g, bool is_backward, long steps)
        : row((g.w + 1) * g.extent * L), before(g.extent * L),
          band(std::clamp(BAND / row, 1L, g.h)), gate((g.h + 1) * (g.w + 1) * L + STEP),
          share(gate.size() / L), slope(gate.size()), tail(row + STEP),
          sums(before + band * row + STEP), up(sums.size()),
          both(is_backward ? (band * (g.w + 1) + 1) * L : 0), spread(is_backward ? sums.size() : 0),
          spread_of_both(spread.size()) {
        for (long a = 0; a < g.h; a++)
            for (long b = 0; b < g.w; b++)
                share[a * (g.w + 1) + b] =
                    1.0f / window(a, g.extent, g.height) / window(b, g.extent, g.width);
        if (!steps) return;
        const long h = (g.height + 1) / 2, w = (g.width + 1) / 2, wide = 2 * (w + 1);
        zeros.resize((g.width + STEP) * L);
        if (L == 1) here.resize(2 + std::max(BAND, wide) + 2 * STEP), left.resize(here.size());
        if (steps > 1) maps[0].resize(h * (w + 1) * L + STEP);
        if (steps > 2) maps[1].resize((h + 1) / 2 * ((w + 1) / 2 + 1) * L + STEP);
    }

    float *first_row() { return sums.data() + before; }
};

// The clipped sums of 2e - 1 rows around the row of gates `a`. Each row is added up once: `tail`, at
// first zero, hands on a block's sum but for its first row, which is what the next window takes of it.
template <long E, long L>
inline void sum_rows(const float *__restrict x, const Geometry &g, long a, float *__restrict tail,
                     float *__restrict sum) {
    const long e = E ? E : g.extent, n = g.width * L;
    const float *__restrict first = x + a * e * n;
    const long rows = a * e + e <= g.height ? e : g.height - a * e;
    const auto add = [&](auto kind, long j, long rows) {
        using V = decltype(kind);
        V rest{};
        for (long k = 1; k < rows; k++) rest += get<V>(first + k * n + j);
        put(sum + j, get<V>(tail + j) + get<V>(first + j) + rest);
        put(tail + j, rest);
    };
    const long room = (g.height - a * e - rows + 1) * n;
    if (E && rows == E)
        in_steps(n, room, [&](auto kind, long j) { add(kind, j, E); });
    else
        in_steps(n, room, [&](auto kind, long j) { add(kind, j, rows); });
}

// All gates of a tile, in s.gate: from the means, or from the logits that are there.
template <long E, long L>
inline void gates(const float *x, const Geometry &g, Scratch<L> &s, bool is_given) {
    const long e = E ? E : g.extent, wide = g.w + 1;
    std::fill(s.tail.begin(), s.tail.end(), 0.0f);
    for (long top = 0; top < g.h && !is_given; top += s.band) {
        const long end = top + s.band < g.h ? top + s.band : g.h, groups = (end - top) * wide;
        for (long a = top; a < end; a++) {
            float *sum = s.first_row() + (a - top) * s.row;
            sum_rows<E, L>(x, g, a, s.tail.data(), sum);
            std::fill(sum + g.width * L, sum + s.row, 0.0f);
        }
        float *__restrict gate = s.gate.data() + top * wide * L;
        const float *__restrict sums = s.first_row(), *__restrict share = s.share.data() + top * wide;
        for (long q = 0; q < groups; q++)
            for (long l = 0; l < L; l++) {
                float sum = 0;
                for (long k = 1 - e; k < e; k++) sum += sums[(q * e + k) * L + l];
                gate[q * L + l] = sum * share[q];
            }
    }
    float *__restrict gate = s.gate.data();
    for (long i = 0; i < g.h * wide * L; i++) gate[i] = sigmoid(gate[i]);
}

// The gates of some rows at the elements that take them.
template <long E, long L>
inline void expand(const float *__restrict gate, float *__restrict up, long rows, const Geometry &g,
                   const Scratch<L> &s) {
    if (E && g.in_blocks) {
        for (long q = 0; q < rows * (g.w + 1); q++)
            for (long k = 0; k < E; k++)
                for (long l = 0; l < L; l++) up[(q * E + k) * L + l] = gate[q * L + l];
        return;
    }
    for (long a = 0; a < rows; a++)
        for (long j = 0; j < g.width; j++)
            for (long l = 0; l < L; l++)
                up[a * s.row + j * L + l] = gate[(a * (g.w + 1) + g.column_of[j]) * L + l];
}

template <long E, long L>
void forward_tile(const float *x, float *y, const Geometry &g, Scratch<L> &s, bool is_given) {
    const long n = g.width * L;
    gates<E, L>(x, g, s, is_given);
    for (long top = 0, i = 0; top < g.h; top += s.band) {
        const long end = top + s.band < g.h ? top + s.band : g.h;
        expand<E, L>(s.gate.data() + top * (g.w + 1) * L, s.up.data(), end - top, g, s);
        for (; i < g.height && g.row_of[i] < end; i++) {
            const float *in = x + i * n, *up = s.up.data() + (g.row_of[i] - top) * s.row;
            float *out = y + i * n;
            in_steps(n, (g.height - i) * n, [&](auto kind, long j) {
                using V = decltype(kind);
                put(out + j, get<V>(in + j) * get<V>(up + j));
            });
        }
    }
}

// The gradients of p by the products of x and dy: in s.slope, with a zero behind each row and a row of
// zeros.
template <long E, long L>
inline void slopes(const float *x, const float *dy, const Geometry &g, Scratch<L> &s, bool is_given) {
    const long n = g.width * L, wide = g.w + 1;
    std::fill(s.slope.begin(), s.slope.end(), 0.0f);
    for (long top = 0, i = 0; top < g.h; top += s.band) {
        const long end = top + s.band < g.h ? top + s.band : g.h;
        float *__restrict slope = s.slope.data() + top * wide * L;
        for (long a = top; a < end; a++) {
            float *sum = s.first_row() + (a - top) * s.row;
            std::fill(sum, sum + s.row, 0.0f);
            for (; i < g.height && g.row_of[i] == a; i++) {
                const float *in = x + i * n, *of_out = dy + i * n;
                in_steps(n, (g.height - i) * n, [&](auto kind, long j) {
                    using V = decltype(kind);
                    put(sum + j, get<V>(sum + j) + get<V>(of_out + j) * get<V>(in + j));
                });
            }
            std::fill(sum + n, sum + s.row, 0.0f);
        }
        const float *__restrict sums = s.first_row();
        if (E && g.in_blocks) {
            for (long q = 0; q < (end - top) * wide; q++)
                for (long l = 0; l < L; l++) {
                    float sum = 0;
                    for (long k = 0; k < E; k++) sum += sums[(q * E + k) * L + l];
                    slope[q * L + l] = sum;
                }
            continue;
        }
        for (long a = 0; a < end - top; a++)
            for (long j = 0; j < g.width; j++)
                for (long l = 0; l < L; l++)
                    slope[(a * wide + g.column_of[j]) * L + l] += sums[a * s.row + j * L + l];
    }
    float *__restrict slope = s.slope.data();
    const float *__restrict gate = s.gate.data(), *__restrict share = s.share.data();
    for (long q = 0; q < g.h * wide; q++)
        for (long l = 0; l < L; l++) {
            const float value = gate[q * L + l];
            slope[q * L + l] *= value * (1 - value) * (is_given ? 1.0f : share[q]);
        }
}

// What each window's mean hands back to its elements: in s.spread for the first row of a block, which
// lies in one row of windows alone, and in s.spread_of_both for the others.
template <long E, long L>
inline void spread(const float *__restrict slope, long rows, const Geometry &g, Scratch<L> &s) {
    const long e = E ? E : g.extent, wide = (g.w + 1) * L, groups = rows * (g.w + 1);
    float *__restrict both = s.both.data(), *__restrict one = s.spread.data();
    float *__restrict two = s.spread_of_both.data();
    for (long i = 0; i < groups * L; i++) both[i] = slope[i] + slope[i + wide];
    for (long q = 0; q < groups; q++)
        for (long k = 0; k < e; k++)
            for (long l = 0; l < L; l++) {
                const long here = q * L + l, next = here + L, to = (q * e + k) * L + l;
                one[to] = slope[here] + (k ? slope[next] : 0.0f);
                two[to] = both[here] + (k ? both[next] : 0.0f);
            }
}

template <long E, long L>
void backward_tile(const float *x, const float *dy, float *dx, const Geometry &g, Scratch<L> &s,
                   bool is_given) {
    const long e = E ? E : g.extent, n = g.width * L, wide = (g.w + 1) * L;
    gates<E, L>(x, g, s, is_given);
    slopes<E, L>(x, dy, g, s, is_given);
    long up_to = 0, spread_to = 0, up_top = 0, spread_top = 0;  // the bands that are there
    for (long i = 0; i < g.height; i++) {
        if (g.row_of[i] >= up_to) {
            up_top = up_to, up_to = up_top + s.band < g.h ? up_top + s.band : g.h;
            expand<E, L>(s.gate.data() + up_top * wide, s.up.data(), up_to - up_top, g, s);
        }
        if (i / e >= spread_to && !is_given) {
            spread_top = spread_to, spread_to = spread_top + s.band < g.h ? spread_top + s.band : g.h;
            spread<E, L>(s.slope.data() + spread_top * wide, spread_to - spread_top, g, s);
        }
        const float *in = dy + i * n, *up = s.up.data() + (g.row_of[i] - up_top) * s.row;
        const float *spread = (i % e ? s.spread_of_both : s.spread).data() + (i / e - spread_top) * s.row;
        float *out = dx + i * n;
        const long room = (g.height - i) * n;
        if (is_given)
            in_steps(n, room, [&](auto kind, long j) {
                using V = decltype(kind);
                put(out + j, get<V>(in + j) * get<V>(up + j));
            });
        else
            in_steps(n, room, [&](auto kind, long j) {
                using V = decltype(kind);
                put(out + j, get<V>(in + j) * get<V>(up + j) + get<V>(spread + j));
            });
    }
}

// --- a gather by convolutions ----------------------------------------------------------------
//
// A step is a depthwise convolution, 3 x 3 with stride 2 and zeros around, and its norm: a scale and a
// shift. A ReLU follows each but the last. The global extent is a single step, of one position. What is
// outside of a map is zeros under the taps as they are: a weight that is no number counts there too.

struct Step {
    const float *weight;              // channels x 3 x 3, or channels x height x width
    std::vector<float> scale, shift;  // of a channel, and LANES of nothing behind, as in all rows here
    std::vector<float> taps;          // the weight for channels side by side: a row of them for each place

    // at: the weight, and the norm's weight, bias, mean and variance (null where there is no norm).
    Step(const float *const *at, float eps, long channels)
        : weight(at[0]), scale(channels + LANES, 1.0f), shift(channels + LANES) {
        for (long c = 0; c < channels && at[1]; c++) {
            scale[c] = at[1][c] / std::sqrt(at[4][c] + eps);
            shift[c] = at[2][c] - at[3][c] * scale[c];
        }
    }

    void turn(long channels, long places, int threads) {
        const long row = channels + LANES;
        taps.resize(places * row);
#pragma omp parallel for num_threads(threads) if (places > LANES)
        for (long from = 0; from < places; from += LANES) {
            const long to = std::min(from + LANES, places);
            for (long c = 0; c < channels; c++)
                for (long k = from; k < to; k++) taps[k * row + c] = weight[c * places + k];
        }
    }
};

struct Gather {
    std::vector<Step> steps;
    bool is_global;
};

template <class T>
struct Map {
    const T *data;
    long height, width, pitch, pixel;  // elements from row to row, and from place to place
};

// The ReLU of all steps but the last, without a branch; it keeps a NaN.
template <class V>
inline V at_least(V least, V value) {
    return value < least ? least : value;
}

inline float least(bool is_last) { return is_last ? -INFINITY : 0.0f; }

// Channels side by side: `lanes` of them, to places of as many elements in rows of `out_pitch`.
template <class T>
inline void convolve(const Map<T> &map, const Step &step, long first, long lanes, bool is_last, float *out,
                     long out_pitch) {
    static const T nothing[STRIP] = {};
    const float *__restrict scale = step.scale.data() + first, *__restrict shift = step.shift.data() + first;
    const float *__restrict taps = step.taps.data() + first;
    const float floor = least(is_last);
    const size_t row = step.scale.size();
    for (long a = 0; a < (map.height + 1) / 2; a++)
        for (long b = 0; b < (map.width + 1) / 2; b++) {
            const T *from[9];
            for (long k = 0; k < 9; k++) {
                const long i = 2 * a + k / 3 - 1, j = 2 * b + k % 3 - 1;
                const bool is_inside = i >= 0 && i < map.height && j >= 0 && j < map.width;
                from[k] = is_inside ? map.data + i * map.pitch + j * map.pixel : nothing;
            }
            float *__restrict to = out + a * out_pitch + b * lanes;
            const auto add = [&](auto kind, long l) {
                using V = decltype(kind);
                V sum{};
                for (long k = 0; k < 9; k++) sum += get<V>(taps + k * row + l) * load_as<V>(from[k] + l);
                sum = sum * get<V>(scale + l) + get<V>(shift + l);
                put(to + l, at_least(V{} + floor, sum));
            };
            long l = 0;
            for (; l + LANES <= lanes; l += LANES) add(Side{}, l);
            for (; l < lanes; l++) add(float{}, l);
        }
}

// A single plane: the rows are added up under their taps as they lie, 8 columns at a time, in `here` what
// is a gate's own two columns', in `left` what is the next gate's. Then one loop adds up the columns.
inline void convolve(const Map<float> &map, const Step &step, long first, bool is_last, float *out,
                     Scratch<1> &s) {
    const long h = (map.height + 1) / 2, w = (map.width + 1) / 2, row = 2 * (w + 1);
    const long band = std::clamp(BAND / row, 1L, h);
    const float scale = step.scale[first], shift = step.shift[first], floor = least(is_last);
    Vec taps_here[3], taps_left[3];
    for (long u = 0; u < 3; u++) {
        const float *tap = step.weight + (first * 3 + u) * 3, m = tap[1], r = tap[2];
        taps_here[u] = Vec{m, r, m, r, m, r, m, r}, taps_left[u] = Vec{} + tap[0];
    }
    for (long top = 0; top < h; top += band) {
        const long end = top + band < h ? top + band : h;
        for (long a = top; a < end; a++) {
            const long above = 2 * a - 1, below = 2 * a + 1;
            const float *at = map.data + 2 * a * map.pitch, *zeros = s.zeros.data();
            const float *in[3] = {above < 0 ? zeros : at - map.pitch, at,
                                  below < map.height ? at + map.pitch : zeros};
            float *here = s.here.data() + 2 + (a - top) * row, *left = s.left.data() + 2 + (a - top) * row;
            const long room = (map.height - std::min(below, map.height - 1)) * map.pitch;
            in_steps(map.width, room, [&](auto kind, long j) {
                using V = decltype(kind);
                V sum{}, sum_of_next{};
                for (long u = 0; u < 3; u++) {
                    const V x = get<V>(in[u] + j);
                    if constexpr (sizeof(V) == sizeof(Vec))
                        sum += taps_here[u] * x, sum_of_next += taps_left[u] * x;
                    else
                        sum += taps_here[u][j % 2] * x, sum_of_next += taps_left[u][0] * x;
                }
                put(here + j, sum), put(left + j, sum_of_next);
            });
            here[map.width] = 0, left[row - 1] = 0;  // what the row's last gate and the next row's first take
        }
        const float *__restrict here = s.here.data() + 2, *__restrict left = s.left.data() + 2;
        float *__restrict to = out + top * (w + 1);
        const long groups = ((end - top) * (w + 1) + STEP - 1) / STEP * STEP;  // so that nothing is left over
        for (long q = 0; q < groups; q++) {
            const float sum = here[2 * q] + here[2 * q + 1] + left[2 * q - 1];
            const float value = sum * scale + shift;
            to[q] = at_least(floor, value);
        }
    }
}

// The sum of n terms, in LANES parts side by side; of partial sums: a long one loses digits.
template <class F>
inline void add_up(long n, float *sum, F term) {
    const long whole = n / LANES * LANES;
    for (long from = 0; from < whole; from += CHUNK) {
        const long to = from + CHUNK < whole ? from + CHUNK : whole;
        float part[LANES] = {};
        for (long i = from; i < to; i += LANES)
            for (long k = 0; k < LANES; k++) part[k] += term(i + k);
        for (long k = 0; k < LANES; k++) sum[k] += part[k];
    }
    for (long i = whole; i < n; i++) sum[0] += term(i);
}

// The context of a tile whose channels begin with `first`, in s.gate.
template <long L>
void context(const float *x, const Gather &gather, long first, const Geometry &g, Scratch<L> &s) {
    if (gather.is_global) {  // planes, not side by side
        const Step &step = gather.steps[0];
        const float *weight = step.weight + first * g.height * g.width;
        float sum[LANES] = {};
        add_up(g.height * g.width, sum, [&](long i) { return x[i] * weight[i]; });
        for (long k = 1; k < LANES; k++) sum[0] += sum[k];
        s.gate[0] = sum[0] * step.scale[first] + step.shift[first];
        return;
    }
    Map<float> map{x, g.height, g.width, g.width * L, L};
    for (size_t k = 0; k < gather.steps.size(); k++) {
        const bool is_last = k + 1 == gather.steps.size();
        float *out = is_last ? s.gate.data() : s.maps[k % 2].data();
        const long w = (map.width + 1) / 2, pitch = (w + 1) * L;
        if constexpr (L == 1)
            convolve(map, gather.steps[k], first, is_last, out, s);
        else
            convolve(map, gather.steps[k], first, L, is_last, out, pitch);
        map = {out, (map.height + 1) / 2, w, pitch, L};
    }
}

// The global extent: one gate a plane. Forward where dy is null; out may be x, or dy.
template <long L>
void global_tile(const float *x, const float *dy, float *out, long pixels, Scratch<L> &s,
                 bool is_given) {
    const long n = pixels * L;
    float sum[LANES] = {}, product[LANES] = {};  // side by side; the lanes, or parts of one sum
    if (!is_given) add_up(n, sum, [&](long i) { return x[i]; });
    if (dy) add_up(n, product, [&](long i) { return dy[i] * x[i]; });
    for (long k = L; k < LANES; k++) sum[0] += sum[k], product[0] += product[k];
    float gate[L], slope[L];
    for (long l = 0; l < L; l++) {
        gate[l] = sigmoid(is_given ? s.gate[l] : sum[l] / pixels);
        s.slope[l] = product[l] * gate[l] * (1 - gate[l]);
        slope[l] = is_given ? 0.0f : s.slope[l] / pixels;
    }
    const float *in = dy ? dy : x;
#pragma GCC ivdep
    for (long i = 0; i < pixels; i++)
        for (long l = 0; l < L; l++) out[i * L + l] = in[i * L + l] * gate[l] + (dy ? slope[l] : 0.0f);
}

// --- small maps: gates, logits, contexts -----------------------------------------------------
//
// In a tile they have a zero behind each row, outside they have none.

template <long L, class T>
void read_small(float *map, const T *from, const Geometry &g, Layout at) {
    for (long a = 0; a < g.h; a++, map += (g.w + 1) * L, from += g.w * at.pixel)
        if (sizeof(T) == 4 && L == 1 && at.pixel == 1)
            in_steps(g.w, (g.h - a) * g.w, [&](auto kind, long j) {
                put(map + j, get<decltype(kind)>(reinterpret_cast<const float *>(from) + j));
            });
        else
            read_tile<L>(map, from, g.w, at);
}

template <long L, class T>
void write_small(T *to, const float *map, const Geometry &g, Layout at) {
    for (long a = 0; a < g.h; a++, map += (g.w + 1) * L, to += g.w * at.pixel)
        if (sizeof(T) == 4 && L == 1 && at.pixel == 1)
            in_steps(g.w, (g.h - a) * g.w, [&](auto kind, long j) {
                put(reinterpret_cast<float *>(to) + j, get<decltype(kind)>(map + j));
            });
        else
            write_tile<L>(to, map, g.w, at);
}

// --- all tiles -------------------------------------------------------------------------------

struct Tensors {
    const void *x, *dy, *given;
    const Gather *gather;
    void *out, *slope;  // without out, slope takes the context
    bool is_large;
};

// A tile's own memory: in float32, what does not lie so outside; and a result that is yet to be written.
struct Own {
    Floats x, dy, out;
};

template <class T, long E, long L>
void tile(const Tensors &t, long offset, long small, long first, Layout at, Layout at_small,
          const Geometry &g, Scratch<L> &s, Own &own) {
    const long pixels = g.height * g.width;
    const bool direct = sizeof(T) == 4 && L == 1, is_global = g.h == 1 && g.w == 1 && E == 0;
    const auto tile_of = [&](const void *tensor, Floats &memory) {
        const T *from = static_cast<const T *>(tensor) + offset;
        if (direct) return reinterpret_cast<const float *>(from);
        read_tile<L>(memory.data(), from, pixels, at);
        return static_cast<const float *>(memory.data());
    };
    const float *x = tile_of(t.x, own.x), *dy = t.dy ? tile_of(t.dy, own.dy) : nullptr;
    if (t.given) read_small<L>(s.gate.data(), static_cast<const T *>(t.given) + small, g, at_small);
    if (t.gather) context<L>(x, *t.gather, first, g, s);
    if (!t.out) return write_small<L>(static_cast<T *>(t.slope) + small, s.gate.data(), g, at_small);
    const bool is_given = t.given || t.gather;
    T *to = static_cast<T *>(t.out) + offset;
    float *out = direct && !t.is_large ? reinterpret_cast<float *>(to) : own.out.data();
    if (is_global)
        global_tile<L>(x, dy, out, pixels, s, is_given);
    else if (dy)
        backward_tile<E, L>(x, dy, out, g, s, is_given);
    else
        forward_tile<E, L>(x, out, g, s, is_given);
    if (!direct)
        write_tile<L>(to, out, pixels, at);
    else if (t.is_large)
        write_past_caches(reinterpret_cast<float *>(to), out, pixels);
    if (t.slope) write_small<L>(static_cast<T *>(t.slope) + small, s.slope.data(), g, at_small);
}

template <class T, long E, long L>
void all(const Tensors &t, long batch, long channels, bool channels_last, const Geometry &g, int threads) {
    const long pixels = g.height * g.width, small = g.h * g.w;
    const long tiles = (channels + L - 1) / L;  // of a sample
    if (batch * tiles < threads) threads = int(batch * tiles);
#pragma omp parallel num_threads(threads)
    {
        Scratch<L> scratch(g, t.dy, t.gather && !t.gather->is_global ? long(t.gather->steps.size()) : 0);
        const bool is_float = sizeof(T) == 4 && L == 1;
        Own own{Floats(is_float ? 0 : pixels * L), Floats(is_float || !t.dy ? 0 : pixels * L),
                Floats(is_float && !t.is_large ? 0 : pixels * L)};
#pragma omp for schedule(static)
        for (long index = 0; index < batch * tiles; index++) {
            const long first = index % tiles * L, lanes = std::min(L, channels - first);
            const long sample = index / tiles * channels, plane = sample + first;
            if (channels_last)
                tile<T, E, L>(t, sample * pixels + first, sample * small + first, first,
                              {channels, 1, lanes}, {channels, 1, lanes}, g, scratch, own);
            else
                tile<T, E, L>(t, plane * pixels, plane * small, first, {1, pixels, lanes}, {1, small, lanes},
                              g, scratch, own);
        }
#if defined(__AVX__)
        _mm_sfence();
#endif
    }
}

// --- strips ----------------------------------------------------------------------------------
//
// What channels_last takes where no means are: a sample's maps of up to STRIP channels, gone through as
// they lie. A tile of them would be gathered line by line from as many pages as the map has places.

struct Strip {
    long first, lanes, channels;
    Floats gate, maps[2];  // rows of `lanes`
};

template <class T>
void strip_context(const T *x, const Gather &gather, const Geometry &g, Strip &s) {
    if (gather.is_global) {
        const Step &step = gather.steps[0];
        const float *weight = step.taps.data() + s.first;
        const size_t row = step.scale.size();
        float sum[STRIP] = {};
        for (long from = 0; from < g.height * g.width; from += CHUNK / LANES) {
            const long to = std::min(from + CHUNK / LANES, g.height * g.width);
            float part[STRIP] = {};  // partial sums: a long one loses digits
            for (long i = from; i < to; i++)
                for (long l = 0; l < s.lanes; l++)
                    part[l] += load(x[i * s.channels + l]) * weight[i * row + l];
            for (long l = 0; l < s.lanes; l++) sum[l] += part[l];
        }
        for (long l = 0; l < s.lanes; l++)
            s.gate[l] = sum[l] * step.scale[s.first + l] + step.shift[s.first + l];
        return;
    }
    const long n = s.lanes;
    Map<float> map{};
    for (size_t k = 0; k < gather.steps.size(); k++) {
        const bool is_last = k + 1 == gather.steps.size();
        float *out = is_last ? s.gate.data() : s.maps[k % 2].data();
        const long h = ((k ? map.height : g.height) + 1) / 2, w = ((k ? map.width : g.width) + 1) / 2;
        if (k)
            convolve(map, gather.steps[k], s.first, n, is_last, out, w * n);
        else
            convolve(Map<T>{x, g.height, g.width, g.width * s.channels, s.channels}, gather.steps[k],
                     s.first, n, is_last, out, w * n);
        map = {out, h, w, w * n, n};
    }
}

template <class T>
void strip(const Tensors &t, long sample, const Geometry &g, Strip &s) {
    const long pixels = g.height * g.width, small = g.h * g.w, lanes = s.lanes;
    const T *x = static_cast<const T *>(t.x) + sample * pixels * s.channels + s.first;
    const long at_small = sample * small * s.channels + s.first;
    float *__restrict gate = s.gate.data();
    if (t.gather) strip_context(x, *t.gather, g, s);
    for (long i = 0; i < small && t.given; i++)
        for (long l = 0; l < lanes; l++)
            gate[i * lanes + l] = load(static_cast<const T *>(t.given)[at_small + i * s.channels + l]);
    for (long i = 0; i < small && !t.out; i++)
        for (long l = 0; l < lanes; l++)
            store(static_cast<T *>(t.slope)[at_small + i * s.channels + l], gate[i * lanes + l]);
    if (!t.out) return;
    for (long i = 0; i < small * lanes; i++) gate[i] = sigmoid(gate[i]);
    T *__restrict y = static_cast<T *>(t.out) + sample * pixels * s.channels + s.first;
    for (long i = 0; i < g.height; i++)
        for (long j = 0; j < g.width; j++, x += s.channels, y += s.channels) {
            const float *from = gate + (g.row_of[i] * g.w + g.column_of[j]) * lanes;
            for (long l = 0; l < lanes; l++) store(y[l], load(x[l]) * from[l]);
        }
}

template <class T>
void strips(const Tensors &t, long batch, long channels, const Geometry &g, int threads) {
    long most = STRIP;
    while (most > LANES && batch * ((channels + most - 1) / most) < threads) most /= 2;
    const long parts = (channels + most - 1) / most, h = (g.height + 1) / 2, w = (g.width + 1) / 2;
    if (batch * parts < threads) threads = int(batch * parts);
    const long steps = t.gather && !t.gather->is_global ? long(t.gather->steps.size()) : 0;
#pragma omp parallel num_threads(threads)
    {
        Strip s{0, 0, channels, Floats(g.h * g.w * most),
                {Floats(steps > 1 ? h * w * most : 0),
                 Floats(steps > 2 ? (h + 1) / 2 * ((w + 1) / 2) * most : 0)}};
#pragma omp for schedule(static)
        for (long index = 0; index < batch * parts; index++) {
            s.first = index % parts * most, s.lanes = std::min(most, channels - s.first);
            strip<T>(t, index / parts, g, s);
        }
    }
}

// --- narrow maps -----------------------------------------------------------------------------
//
// Forward, in float32 and NCHW, with the means as logits. A row of a narrow map fits a vector, with a lane
// to spare for a zero. Several planes are gone through in three steps, the means, all sigmoids and the
// products, so that no step waits for the one before it.

constexpr long PART = 1024;  // elements of the planes that are gone through together

#if defined(__AVX2__)
typedef int32_t VecIndex __attribute__((vector_size(4 * STEP)));

inline Vec shuffle(Vec from, VecIndex at) {
    return Vec(_mm256_permutevar8x32_ps(__m256(from), __m256i(at)));
}

inline Vec masked(Vec value, VecIndex mask) { return Vec(VecIndex(value) & mask); }

#if defined(__AVX512F__)
constexpr bool IS_ONE_VECTOR = true;
typedef Side Wide;
typedef int32_t WideIndex __attribute__((vector_size(4 * LANES)));

inline Wide shuffle(Wide from, WideIndex at) {
    return Wide(_mm512_permutexvar_ps(__m512i(at), __m512(from)));
}

inline Wide masked(Wide value, WideIndex mask) { return Wide(WideIndex(value) & mask); }
#else
// Two vectors: compilers take one that the CPU lacks to pieces.
constexpr bool IS_ONE_VECTOR = false;
struct Wide {
    Vec low, high;
    void operator+=(const Wide &other) { low += other.low, high += other.high; }
    Wide operator*(const Wide &other) const { return {low * other.low, high * other.high}; }
};
struct WideIndex {
    VecIndex low, high;
};

template <>
inline Wide get<Wide>(const float *from) {
    return {get<Vec>(from), get<Vec>(from + STEP)};
}

inline void put(float *to, const Wide &value) { put(to, value.low), put(to + STEP, value.high); }

inline Wide shuffle(const Wide &from, const WideIndex &at) {
    const auto take = [&](VecIndex places) {
        return places < int32_t(STEP) ? shuffle(from.low, places) : shuffle(from.high, places);
    };
    return {take(at.low), take(at.high)};
}

inline Wide masked(const Wide &value, const WideIndex &mask) {
    return {masked(value.low, mask.low), masked(value.high, mask.high)};
}
#endif

// V, I: a row, and the places that a shuffle takes.
template <class V, class I>
struct Narrow {
    static constexpr long L = sizeof(V) / sizeof(float);
    I is_inside, gate_of;    // all bits of the map's columns; which gate a column takes
    std::vector<I> columns;    // those of a window, one after the other; the last lane where it has no more
    std::vector<V> share;      // one over a window's elements, for each row of gates
    bool is_one;  // a gate in a row: all lanes are added up, in pairs, pairs of pairs, ...

    explicit Narrow(const Geometry &g) : is_one(g.w == 1) {
        std::array<int32_t, L> inside{}, gate{}, column;
        for (long j = 0; j < g.width; j++) inside[j] = -1, gate[j] = g.column_of[j];
        is_inside = bits_of<I>(inside), gate_of = bits_of<I>(gate);
        for (long apart = L / 2; apart && is_one; apart /= 2) {
            for (long l = 0; l < L; l++) column[l] = int32_t(l ^ apart);
            columns.push_back(bits_of<I>(column));
        }
        for (long k = 1 - g.extent; k < g.extent && !is_one; k++) {
            column.fill(L - 1);
            for (long b = 0; b < g.w; b++)
                if (const long j = b * g.extent + k; j >= 0 && j < g.width) column[b] = int32_t(j);
            if (std::any_of(column.begin(), column.end(), [](int32_t j) { return j < L - 1; }))
                columns.push_back(bits_of<I>(column));
        }
        for (long a = 0; a < g.h; a++) {
            std::array<float, L> one{};
            for (long b = 0; b < g.w; b++)
                one[b] = 1.0f / window(a, g.extent, g.height) / window(b, g.extent, g.width);
            share.push_back(bits_of<V>(one));
        }
    }

    // `planes` planes; up to L - 1 elements behind them are read. gate, last: scratch, for the last plane.
    void operator()(const float *x, float *out, long planes, const Geometry &g, float *__restrict gate,
                    float *last) const {
        const long pixels = g.height * g.width, small = g.h * g.w, e = g.extent;
        for (long p = 0; p < planes; p++)
            for (long a = 0; a < g.h; a++) {
                const long to = std::min(a * e + e, g.height);
                V sum{}, all{};
                for (long i = std::max(a * e - e + 1, 0L); i < to; i++)
                    sum += get<V>(x + p * pixels + i * g.width);
                sum = masked(sum, is_inside);
                if (is_one) all = sum;
                for (const I &column : columns) all += shuffle(is_one ? all : sum, column);
                put(gate + p * small + a * g.w, all * share[a]);
            }
        const long whole = (planes * small + LANES - 1) / LANES * LANES;  // so that no gate is left over
        for (long i = 0; i < whole; i++) gate[i] = sigmoid(gate[i]);
        for (long p = 0; p < planes; p++)
            for (long i = 0; i < g.height; i++) {  // writes a part of the next row or plane, too
                const V up = shuffle(get<V>(gate + p * small + g.row_of[i] * g.w), gate_of);
                float *to = p + 1 < planes ? out + p * pixels : last;
                put(to + i * g.width, get<V>(x + p * pixels + i * g.width) * up);
            }
        std::memcpy(out + (planes - 1) * pixels, last, sizeof(float) * pixels);
    }
};

template <class V, class I>
void narrow(const Tensors &t, long planes, const Geometry &g, int threads) {
    const long pixels = g.height * g.width, most = PART / pixels;
    const long parts = (planes + most - 1) / most, room = most * pixels + LANES;
    const float *x = static_cast<const float *>(t.x);
    float *y = static_cast<float *>(t.out);
    if (parts < threads) threads = int(parts);
#pragma omp parallel num_threads(threads)
    {
        const Narrow<V, I> rows(g);
        Floats in(room), out(t.is_large ? room : 0), last(pixels + LANES);
        Floats gate((most * g.h * g.w / LANES + 2) * LANES);
#pragma omp for schedule(static)
        for (long part = 0; part < parts; part++) {
            const long first = part * most, count = std::min(most, planes - first);
            const float *from = x + first * pixels;
            if (part + 1 == parts)  // nothing may be read behind it
                from = static_cast<const float *>(
                    std::memcpy(in.data(), from, sizeof(float) * count * pixels));
            float *to = t.is_large ? out.data() : y + first * pixels;
            rows(from, to, count, g, gate.data(), last.data());
            if (t.is_large) write_past_caches(y + first * pixels, to, count * pixels);
        }
        _mm_sfence();
    }
}

bool by_rows(const Tensors &t, long planes, const Geometry &g, int threads) {
    const long pixels = g.height * g.width;  // a row is written into the next plane, and not beyond it
    if (g.width >= LANES || pixels < LANES || pixels > PART) return false;
    if (g.h * g.w == 1 && g.width >= STEP && !IS_ONE_VECTOR) return false;  // one loop is faster
    if (g.width < STEP)
        narrow<Vec, VecIndex>(t, planes, g, threads);
    else
        narrow<Wide, WideIndex>(t, planes, g, threads);
    return true;
}
#else
bool by_rows(const Tensors &, long, const Geometry &, int) { return false; }
#endif

template <class T, long L>
void by_extent(const Tensors &t, long batch, long channels, bool last, const Geometry &g, int threads) {
    switch (g.extent) {
        case 2: return all<T, 2, L>(t, batch, channels, last, g, threads);
        case 4: return all<T, 4, L>(t, batch, channels, last, g, threads);
        case 8: return all<T, 8, L>(t, batch, channels, last, g, threads);
        default: return all<T, 0, L>(t, batch, channels, last, g, threads);
    }
}

}  // namespace

// x, dy, out: batch x channels x height x width; given, slope: ... x h x w; NCHW, or NHWC in memory.
// dy is null for the forward. given is null for the means of x; slope takes the gradient of given.
// steps: five pointers each (see Step) for a gather by convolutions; without out, slope takes the context.
extern "C" void gather_excite(const void *x, const void *dy, const void *given, void *out, void *slope,
                              long batch, long channels, long height, long width, long extent,
                              const int32_t *row_of, const int32_t *column_of, int is_bf16,
                              int channels_last, int in_lanes, int threads, const float *const *steps,
                              const float *eps, long count, int is_global) {
    Geometry g{height, width, (height + extent - 1) / extent, (width + extent - 1) / extent,
               extent, row_of, column_of, true};
    for (long j = 0; j < width; j++) g.in_blocks &= column_of[j] == j / extent;
    const long bytes = batch * channels * height * width * (is_bf16 ? 2 : 4);
    const bool lanes = channels_last || in_lanes;
    Gather gather{{}, bool(is_global)};
    for (long k = 0; k < count; k++) gather.steps.emplace_back(steps + 5 * k, eps[k], channels);
    for (Step &step : gather.steps)
        if (lanes) step.turn(channels, is_global ? height * width : 9, threads);
    const Tensors t{x, dy, given, count ? &gather : nullptr, out, slope, bytes > CACHED_BYTES};
    const bool is_plain = !is_bf16 && !channels_last && !dy && !given && !count;
    if (is_plain && by_rows(t, batch * channels, g, threads)) return;
    if (channels_last && !dy && (given || count))
        is_bf16 ? strips<Bf16>(t, batch, channels, g, threads) : strips<float>(t, batch, channels, g, threads);
    else if (is_bf16)
        lanes ? by_extent<Bf16, LANES>(t, batch, channels, channels_last, g, threads)
              : by_extent<Bf16, 1>(t, batch, channels, channels_last, g, threads);
    else
        lanes ? by_extent<float, LANES>(t, batch, channels, channels_last, g, threads)
              : by_extent<float, 1>(t, batch, channels, channels_last, g, threads);
}
