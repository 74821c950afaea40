"""Attributes that are held at a text, as setting.h gives them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from foreign cimport foreign_fate_t, foreign_policy_t

cdef extern from "setting.h" nogil:
    enum:
        SETTINGS_MAX
        SETTING_TEXT

    ctypedef char setting_text_t[24]

    ctypedef struct setting_foreign_t:
        uint32_t count
        foreign_fate_t fate
        int64_t at_ns
        char text[24]
        char before[24]

    ctypedef struct setting_t:
        char path[160]
        char held[24]
        int error
        setting_foreign_t foreign

    ctypedef struct setting_shown_t:
        char held[24]
        int error
        setting_foreign_t foreign

    ctypedef struct settings_t:
        setting_t each[4096]
        uint32_t count
        uint32_t calls_max
        foreign_policy_t on_foreign
        uint64_t writes
        uint64_t write_errors

    int settings_govern(settings_t *settings, const setting_text_t *wanted, int64_t now_ns)
