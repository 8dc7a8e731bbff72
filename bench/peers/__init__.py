"""The alternatives to Millgate, each written as is usual in its ecosystem."""
