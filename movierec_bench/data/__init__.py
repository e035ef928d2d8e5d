"""Files in, immutable tables out.

Checks what people bring, writes RecBole's atomic files, reads them back, and splits their rows. Knows no RecBole.
"""
