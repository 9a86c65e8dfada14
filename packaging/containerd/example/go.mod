module viewfs

go 1.19
