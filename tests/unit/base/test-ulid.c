/* test-ulid.c: ids there and back, what is refused, and their order. */
#include "base/ulid.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/clock.h"

static uint64_t ulid_ms(const Ulid *id) {
        uint64_t ms = 0;

        for (unsigned i = 0; i < 6; i++)
                ms = ms << 8 | id->b[i];
        return ms;
}

static void known_values(void **state) {
        static const struct {
                const char *text;
                uint8_t b[16];
        } cases[] = {
                { "00000000000000000000000000", {} },
                { "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 } },
                { "00000000000000000000000001", { [15] = 1 } },
                { "40000000000000000000000000", { [0] = 0x80 } },
                /* the time part of the ULID specification's example: 1469922850259 ms */
                { "01ARZ3NDEKTSV4RRFFQ69G5FAV", { 0x01, 0x56, 0x3e, 0x3a, 0xb5, 0xd3, 0xd6, 0x76, 0x4c, 0x61, 0xef, 0xb9, 0x93,
                                                  0x02, 0xbd, 0x5b } },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char buf[ULID_STR_MAX];
                Ulid id;

                assert_int_equal(ulid_parse(cases[i].text, &id), 0);
                assert_memory_equal(id.b, cases[i].b, sizeof id.b);
                assert_string_equal(ulid_format(&id, buf), cases[i].text);
        }
        assert_int_equal(ulid_parse("01ARZ3NDEKTSV4RRFFQ69G5FAV", NULL), 0);
}

static void every_bit_survives(void **state) {
        for (unsigned bit = 0; bit < 128; bit++) {
                Ulid id = {}, back;
                char buf[ULID_STR_MAX];

                id.b[bit / 8] = (uint8_t) (1U << bit % 8);
                assert_int_equal(ulid_parse(ulid_format(&id, buf), &back), 0);
                assert_int_equal(ulid_cmp(&id, &back), 0);
        }
}

static void aliases_become_canonical(void **state) {
        char buf[ULID_STR_MAX];
        Ulid id;

        assert_int_equal(ulid_parse("oiL1o000000000000000000abc", &id), 0);
        assert_string_equal(ulid_format(&id, buf), "01110000000000000000000ABC");
        assert_int_equal(ulid_parse("01arz3ndektsv4rrffq69g5fav", &id), 0);
        assert_string_equal(ulid_format(&id, buf), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
}

static void refuses(void **state) {
        static const char *const bad[] = {
                "", "0", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01ARZ3NDEKTSV4RRFFQ69G5FAV0", "80000000000000000000000000",
                "ZZZZZZZZZZZZZZZZZZZZZZZZZZ", "01ARZ3NDEKTSV4RRFFQ69G5FAU", "01ARZ3NDEKTSV4RRFFQ69G5FA-", "01ARZ3NDEKTSV4RRFFQ69G5FA ",
                " 01ARZ3NDEKTSV4RRFFQ69G5FA", "01ARZ3NDEKTSV4RRFFQ69G5FA\n", "01ARZ3NDEKTSV4RRFFQ69G5F\xc3\xa9", "\xff",
                "01ARZ3ND-KTSV4RRFFQ69G5FAV", "u1ARZ3NDEKTSV4RRFFQ69G5FAV",
        };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                Ulid id = { .b = { 42 } };

                if (ulid_parse(bad[i], &id) != -EINVAL || ulid_parse(bad[i], NULL) != -EINVAL || id.b[0] != 42)
                        fail_msg("\"%s\" was accepted, or changed the result", bad[i]);
        }
        /* Exactly the characters of the alphabet and its aliases are accepted in the last place. */
        for (int c = 1; c < 256; c++) {
                char s[] = "0000000000000000000000000?";
                bool want = c && strchr("0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyzILOilo", c);

                s[25] = (char) c;
                assert_int_equal(ulid_parse(s, NULL), want ? 0 : -EINVAL);
        }
}

static void new_ones_ascend(void **state) {
        uint64_t before = clock_wall() / USEC_PER_MSEC, same = 0;
        Ulid last, id;

        assert_int_equal(ulid_new(&last), 0);
        assert_true(ulid_ms(&last) >= before);
        for (unsigned i = 0; i < 20000; i++) {
                assert_int_equal(ulid_new(&id), 0);
                assert_true(ulid_cmp(&last, &id) < 0);
                same += ulid_ms(&last) == ulid_ms(&id);
                last = id;
        }
        assert_true(same > 0);          /* else this has not tested much */
        assert_true(ulid_ms(&last) <= clock_wall() / USEC_PER_MSEC);
}

static void order_of_text_is_order_of_ids(void **state) {
        char a[ULID_STR_MAX], b[ULID_STR_MAX];
        Ulid x, y;

        for (unsigned i = 0; i < 1000; i++) {
                clock_shift((int64_t) i * 7777, 0);
                assert_int_equal(ulid_new(&x), 0);
                clock_shift((int64_t) (i % 3) * 1000000, 0);
                assert_int_equal(ulid_new(&y), 0);
                assert_true((ulid_cmp(&x, &y) < 0) == (strcmp(ulid_format(&x, a), ulid_format(&y, b)) < 0));
        }
        clock_shift(0, 0);
}

static void random_part_differs(void **state) {
        Ulid a, b;

        assert_int_equal(ulid_new(&a), 0);
        clock_shift(5000, 0);
        assert_int_equal(ulid_new(&b), 0);
        clock_shift(0, 0);
        assert_memory_not_equal(a.b + 6, b.b + 6, 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(known_values),    cmocka_unit_test(every_bit_survives),
                cmocka_unit_test(aliases_become_canonical), cmocka_unit_test(refuses),
                cmocka_unit_test(new_ones_ascend), cmocka_unit_test(order_of_text_is_order_of_ids),
                cmocka_unit_test(random_part_differs),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
