/* table.h: what people see in columns: widths fitted to the terminal, colour only where there is one. */
#pragma once

#include <stdio.h>

#include "base/macro.h"

typedef enum Colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_DIM, COLOUR_GREEN, COLOUR_YELLOW, COLOUR_RED, COLOUR_BLUE } Colour;

/* True where colour is wanted: a terminal, TERM not "dumb", NO_COLOR unset. */
bool colour_wanted(void);
/* The escape that begins a colour, "" where none is wanted; COLOUR_NONE ends it. */
const char *colour(Colour c);
Colour colour_of_status(const char *status);    /* of a task: running green, failed red, … */
bool on_terminal(void);                         /* is stdout one, or was it before a pager came between? */
int terminal_width(void);                       /* columns; 0 when stdout is no terminal (no cutting then) */

/* Takes out of a text what would move the cursor or change the terminal: tasks choose their errors and status texts themselves. In place. */
char *text_clean(char *s);

/* Prints a text, on a terminal folded at its width: it begins in column `at`, further lines in column `indent`, and what is beyond `lines`
 * of them (0: none is) is cut. Without the newline. */
void print_folded(const char *text, size_t at, size_t indent, size_t lines);

#define TABLE_COLUMNS_MAX 12

typedef struct Table {
        const char *titles[TABLE_COLUMNS_MAX];
        bool right[TABLE_COLUMNS_MAX];          /* numbers stand on the right */
        size_t n_columns;
        char **cells;                           /* row by row */
        Colour *colours;
        size_t n_cells, cap;
        bool flexible[TABLE_COLUMNS_MAX];       /* cut when the terminal is narrow, the widest first */
} Table;

/* `titles` is one string, columns separated by '|'; a title that starts with '>' is right-aligned, with '*' flexible. Borrowed. */
void table_init(Table *t, const char *titles);
void table_add(Table *t, Colour c, const char *text);   /* the next cell; copies, cleaned; NULL is "-" */
void table_addf(Table *t, Colour c, const char *format, ...) _printf_(3, 4);
size_t table_rows(const Table *t);
/* Nothing at all where there are no rows. */
void table_print(const Table *t, FILE *f, bool legend);
void table_done(Table *t);
#define _cleanup_table_ _cleanup_(table_done)
