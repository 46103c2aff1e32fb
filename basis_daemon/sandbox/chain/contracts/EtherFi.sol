// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import "./ShareToken.sol";

/// Stands in for ether.fi's eETH; the pool alone mints and burns.
contract EEth is ShareToken {
    LiquidityPool public immutable liquidityPool;

    constructor(LiquidityPool pool) ShareToken("ether.fi ETH", "eETH") {
        liquidityPool = pool;
    }

    modifier onlyPool() {
        require(msg.sender == address(liquidityPool), "Only pool contract function");
        _;
    }

    function shares(address account) external view returns (uint256) {
        return _shares[account];
    }

    function totalShares() external view returns (uint256) {
        return _totalShares;
    }

    function mintShares(address to, uint256 amount) external onlyPool {
        _mint(to, amount);
    }

    function announce(address to, uint256 amount) external onlyPool {
        _announce(to, amount);
    }

    function burnShares(address from, uint256 amount) external onlyPool {
        emit Transfer(from, address(0), _etherOf(amount));
        emit TransferShares(from, address(0), amount);
        _burn(from, amount);
    }

    function _pooledEther() internal view override returns (uint256) {
        return liquidityPool.getTotalPooledEther();
    }

    function _requireRunning() internal view override {}
}

/// Stands in for ether.fi's pool: deposits mint eETH, a withdrawal becomes a token of the queue. No validators: the owner
/// says what the pool is worth.
contract LiquidityPool {
    enum SourceOfFunds {
        UNDEFINED,
        EETH,
        ETHER_FAN
    }

    address public immutable owner;
    EEth public immutable eETH;
    WithdrawRequestNFT public immutable withdrawRequestNFT;
    bool public paused;
    uint128 public totalValueOutOfLp;
    uint128 public totalValueInLp;
    uint128 public ethAmountLockedForWithdrawal;

    error IncorrectCaller();
    error InvalidAmount();
    error InsufficientLiquidity();
    error SendFail();

    event Paused(address account);
    event Unpaused(address account);
    event Deposit(address indexed sender, uint256 amount, SourceOfFunds source, address referral);
    event Withdraw(address indexed sender, address recipient, uint256 amount, SourceOfFunds source);
    event Rebase(uint256 totalEthLocked, uint256 totalEEthShares);

    constructor() {
        owner = msg.sender;
        eETH = new EEth(this);
        withdrawRequestNFT = new WithdrawRequestNFT(this);
    }

    modifier onlyOwner() {
        require(msg.sender == owner, "Ownable: caller is not the owner");
        _;
    }

    modifier whenNotPaused() {
        require(!paused, "Pausable: paused");
        _;
    }

    /// Ether that validators bring back.
    receive() external payable {
        totalValueOutOfLp -= uint128(msg.value);
        totalValueInLp += uint128(msg.value);
    }

    function deposit() external payable returns (uint256) {
        return _deposit(address(0));
    }

    function deposit(address referral) external payable returns (uint256) {
        return _deposit(referral);
    }

    function requestWithdraw(address recipient, uint256 amount) external whenNotPaused returns (uint256 requestId) {
        uint256 share = sharesForAmount(amount);
        if (amount > type(uint96).max || amount == 0 || share == 0) revert InvalidAmount();
        eETH.transferFrom(msg.sender, address(withdrawRequestNFT), amount);
        requestId = withdrawRequestNFT.requestWithdraw(uint96(amount), uint96(share), recipient, 0);
        emit Withdraw(msg.sender, recipient, amount, SourceOfFunds.EETH);
    }

    function withdraw(address recipient, uint256 amount) external whenNotPaused returns (uint256 share) {
        if (msg.sender != address(withdrawRequestNFT)) revert IncorrectCaller();
        share = sharesForWithdrawalAmount(amount);
        if (totalValueInLp < amount || ethAmountLockedForWithdrawal < amount) revert InsufficientLiquidity();
        if (amount == 0 || share == 0) revert InvalidAmount();
        totalValueInLp -= uint128(amount);
        ethAmountLockedForWithdrawal -= uint128(amount);
        eETH.burnShares(msg.sender, share);
        (bool sent,) = recipient.call{value: amount}("");
        if (!sent) revert SendFail();
    }

    function getTotalPooledEther() public view returns (uint256) {
        return uint256(totalValueOutOfLp) + totalValueInLp;
    }

    function getTotalEtherClaimOf(address user) external view returns (uint256) {
        return eETH.balanceOf(user);
    }

    function sharesForAmount(uint256 amount) public view returns (uint256) {
        uint256 pooled = getTotalPooledEther();
        return pooled == 0 ? 0 : amount * eETH.totalShares() / pooled;
    }

    function sharesForWithdrawalAmount(uint256 amount) public view returns (uint256) {
        uint256 pooled = getTotalPooledEther();
        return pooled == 0 ? 0 : (amount * eETH.totalShares() + pooled - 1) / pooled;
    }

    function amountForShare(uint256 share) public view returns (uint256) {
        uint256 total = eETH.totalShares();
        return total == 0 ? 0 : share * getTotalPooledEther() / total;
    }

    function pauseContract() external onlyOwner {
        paused = true;
        emit Paused(msg.sender);
    }

    function unPauseContract() external onlyOwner {
        paused = false;
        emit Unpaused(msg.sender);
    }

    /// Sends ether to validators: it stays in the pool's worth and leaves its liquidity, so that a loss can hit it.
    function stake(uint128 amount) external onlyOwner {
        totalValueInLp -= amount;
        totalValueOutOfLp += amount;
    }

    /// The oracle's report: rewards above zero, losses below, wei.
    function rebase(int128 accruedRewards) external onlyOwner {
        int128 left = int128(totalValueOutOfLp) + accruedRewards;
        require(left >= 0, "a loss greater than what is staked");
        totalValueOutOfLp = uint128(left);
        emit Rebase(getTotalPooledEther(), eETH.totalShares());
    }

    /// Finalises all requests up to the given one; the pool must hold the ether for them.
    function finalizeRequests(uint256 requestId) external onlyOwner {
        ethAmountLockedForWithdrawal += uint128(withdrawRequestNFT.finalizeRequests(requestId));
    }

    function _deposit(address referral) private whenNotPaused returns (uint256 share) {
        uint256 pooled = getTotalPooledEther();
        share = pooled == 0 ? msg.value : msg.value * eETH.totalShares() / pooled;
        if (msg.value > type(uint128).max || msg.value == 0 || share == 0) revert InvalidAmount();
        totalValueInLp += uint128(msg.value);
        eETH.mintShares(msg.sender, share);
        eETH.announce(msg.sender, share);
        emit Deposit(msg.sender, msg.value, SourceOfFunds.EETH, referral);
    }
}

/// Stands in for weETH: one token is one share of eETH.
contract WeEth is ERC20Permit {
    EEth public immutable eETH;
    LiquidityPool public immutable liquidityPool;

    constructor(LiquidityPool pool) ERC20("Wrapped eETH", "weETH") ERC20Permit("Wrapped eETH") {
        liquidityPool = pool;
        eETH = pool.eETH();
    }

    function wrap(uint256 eETHAmount) external returns (uint256 amount) {
        require(eETHAmount > 0, "weETH: can't wrap zero eETH");
        amount = liquidityPool.sharesForAmount(eETHAmount);
        _mint(msg.sender, amount);
        eETH.transferFrom(msg.sender, address(this), eETHAmount);
    }

    function unwrap(uint256 weETHAmount) external returns (uint256 amount) {
        require(weETHAmount > 0, "Cannot unwrap a zero amount");
        amount = liquidityPool.amountForShare(weETHAmount);
        _burn(msg.sender, weETHAmount);
        eETH.transfer(msg.sender, amount);
    }

    function getWeETHByeETH(uint256 eETHAmount) external view returns (uint256) {
        return liquidityPool.sharesForAmount(eETHAmount);
    }

    function getEETHByWeETH(uint256 weETHAmount) external view returns (uint256) {
        return liquidityPool.amountForShare(weETHAmount);
    }

    function getRate() external view returns (uint256) {
        return liquidityPool.amountForShare(1 ether);
    }
}

/// Stands in for ether.fi's queue: a claim pays the lesser of what was asked for and what its shares are worth by then.
contract WithdrawRequestNFT is ERC721 {
    struct WithdrawRequest {
        uint96 amountOfEEth;
        uint96 shareOfEEth;
        bool isValid;
        uint32 feeGwei;
    }

    LiquidityPool public immutable liquidityPool;
    uint32 public nextRequestId = 1;
    uint32 public lastFinalizedRequestId;
    mapping(uint256 => WithdrawRequest) private _requests;

    event WithdrawRequestCreated(
        uint32 indexed requestId, uint256 amountOfEEth, uint256 shareOfEEth, address owner, uint256 fee
    );
    event WithdrawRequestClaimed(
        uint32 indexed requestId, uint256 amountOfEEth, uint256 burntShareOfEEth, address owner, uint256 fee
    );

    constructor(LiquidityPool pool) ERC721("Withdraw Request NFT", "WithdrawRequestNFT") {
        liquidityPool = pool;
    }

    modifier onlyPool() {
        require(msg.sender == address(liquidityPool), "Caller is not the liquidity pool");
        _;
    }

    function requestWithdraw(uint96 amountOfEEth, uint96 shareOfEEth, address recipient, uint256 fee)
        external
        onlyPool
        returns (uint256 requestId)
    {
        requestId = nextRequestId++;
        _requests[requestId] = WithdrawRequest(amountOfEEth, shareOfEEth, true, uint32(fee / 1 gwei));
        _safeMint(recipient, requestId);
        emit WithdrawRequestCreated(uint32(requestId), amountOfEEth, shareOfEEth, recipient, fee);
    }

    function getRequest(uint256 requestId) external view returns (WithdrawRequest memory) {
        return _requests[requestId];
    }

    function isFinalized(uint256 requestId) external view returns (bool) {
        return requestId <= lastFinalizedRequestId;
    }

    function isValid(uint256 requestId) external view returns (bool) {
        require(_ownerOf(requestId) != address(0), "Request does not exist");
        return _requests[requestId].isValid;
    }

    function getClaimableAmount(uint256 requestId) public view returns (uint256) {
        require(requestId <= lastFinalizedRequestId, "Request is not finalized");
        require(_ownerOf(requestId) != address(0), "Already Claimed");
        WithdrawRequest memory request = _requests[requestId];
        uint256 worth = liquidityPool.amountForShare(request.shareOfEEth);
        return request.amountOfEEth < worth ? request.amountOfEEth : worth;
    }

    function claimWithdraw(uint256 requestId) external {
        require(ownerOf(requestId) == msg.sender, "Not the owner of the NFT");
        require(_requests[requestId].isValid, "Request is not valid");
        uint256 amount = getClaimableAmount(requestId);
        _burn(requestId);
        delete _requests[requestId];
        uint256 burnt = liquidityPool.withdraw(msg.sender, amount);
        emit WithdrawRequestClaimed(uint32(requestId), amount, burnt, msg.sender, 0);
    }

    /// Returns how much ether the newly finalised requests may take at most, wei.
    function finalizeRequests(uint256 requestId) external onlyPool returns (uint256 amount) {
        require(requestId >= lastFinalizedRequestId, "Cannot undo finalization");
        require(requestId < nextRequestId, "Cannot finalize future requests");
        for (uint256 id = lastFinalizedRequestId + 1; id <= requestId; id++) amount += _requests[id].amountOfEEth;
        lastFinalizedRequestId = uint32(requestId);
    }
}

/// Stands in for ether.fi's adapter from ether to weETH in one call.
contract DepositAdapter {
    LiquidityPool public immutable liquidityPool;
    EEth public immutable eETH;
    WeEth public immutable weETH;

    constructor(WeEth wrapper) {
        weETH = wrapper;
        eETH = wrapper.eETH();
        liquidityPool = wrapper.liquidityPool();
    }

    function depositETHForWeETH(address referral) external payable returns (uint256 amount) {
        uint256 deposited = liquidityPool.amountForShare(liquidityPool.deposit{value: msg.value}(referral));
        eETH.approve(address(weETH), deposited);
        amount = weETH.wrap(deposited);
        weETH.transfer(msg.sender, amount);
    }
}

/// Stands in for ether.fi's adapter from weETH to a withdrawal request in one call.
contract WeETHWithdrawAdapter {
    LiquidityPool public immutable liquidityPool;
    EEth public immutable eETH;
    WeEth public immutable weETH;

    constructor(WeEth wrapper) {
        weETH = wrapper;
        eETH = wrapper.eETH();
        liquidityPool = wrapper.liquidityPool();
    }

    function requestWithdraw(uint256 weETHAmount, address recipient) external returns (uint256 requestId) {
        require(recipient != address(0), "Invalid recipient");
        weETH.transferFrom(msg.sender, address(this), weETHAmount);
        uint256 amount = weETH.unwrap(weETHAmount);
        eETH.approve(address(liquidityPool), amount);
        requestId = liquidityPool.requestWithdraw(recipient, amount);
    }
}
