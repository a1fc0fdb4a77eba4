"""The field's own encoders: pSp, e4e and ReStyle on IR-SE50, read from the files their authors publish."""
