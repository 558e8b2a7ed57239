select file as id from glob('@SECRET@*')
